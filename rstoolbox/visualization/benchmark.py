"""Pictures of a benchmark: accuracies beside each other, and against what they cost."""

from .figure import colour, new_figure, save_figure


def plot_bars(methods, baseline, out, title='Test accuracy'):
    """Draw a bar for each method, and beside it one for the method with SemBridge.

    Args:
        methods (dict[str, dict[bool, tuple[float, float]]]): Name -> with SemBridge or not -> mean and deviation, in
            percent.
        baseline (float, optional): Accuracy without transfer, a line across.
        out (str | Path): PNG to write.
        title (str): Title of the picture.

    Returns:
        Path: ``out``.
    """
    figure = new_figure(max(5, 1.1 * len(methods) + 2), 4.2)
    axes = figure.subplots()
    for sembridge, label in ((False, 'plain'), (True, '+ SemBridge')):
        bars = [(place + (0.2 if sembridge else -0.2), *bar[sembridge]) for place, bar in enumerate(methods.values())
                if sembridge in bar]
        if bars:
            places, means, deviations = zip(*bars)
            axes.bar(places, means, 0.38, yerr=deviations, capsize=3, color=colour(int(sembridge)), label=label)
    if baseline is not None:
        axes.axhline(baseline, color='black', linestyle='--', linewidth=1, label='no transfer')
    lows = [centre - deviation for bar in methods.values() for centre, deviation in bar.values()]
    lows += [] if baseline is None else [baseline]
    if lows:
        axes.set_ylim(bottom=max(0, min(lows) - 5))
    axes.set_xticks(range(len(methods)), list(methods), rotation=30, ha='right')
    axes.set_ylabel('test accuracy (%)')
    axes.set_title(title, loc='left')
    if methods or baseline is not None:  # above the bars, which leave no room
        axes.legend(frameon=False, fontsize='small', ncols=3, loc='lower right', bbox_to_anchor=(1, 1))
    return save_figure(figure, out)


def plot_cost(points, out, title='Accuracy against cost'):
    """Draw each method's accuracy over the seconds that an epoch takes.

    Args:
        points (list[tuple[str, bool, float, tuple[float, float]]]): Name, with SemBridge or not, seconds, and mean and
            deviation of the accuracy in percent. A method keeps its colour; SemBridge is a triangle.
        out (str | Path): PNG to write.
        title (str): Title of the picture.

    Returns:
        Path: ``out``.
    """
    figure = new_figure(7, 4.6)
    axes = figure.subplots()
    names = list(dict.fromkeys(name for name, *_ in points))
    for name, sembridge, seconds, (centre, deviation) in points:
        axes.errorbar(seconds, centre, yerr=deviation, fmt='^' if sembridge else 'o', capsize=3, markersize=7,
                      color=colour(names.index(name)), label=f'{name} + SemBridge' if sembridge else name)
    axes.set_xlabel('seconds an epoch')
    axes.set_ylabel('test accuracy (%)')
    axes.grid(alpha=.3)
    axes.set_title(title)
    if points:
        axes.legend(frameon=False, fontsize='x-small', loc='center left', bbox_to_anchor=(1, 0.5))
    return save_figure(figure, out)
