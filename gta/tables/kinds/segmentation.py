"""Tables of masks from attention: sources before fine-tuning, and runs at their lambda."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import nan
from typing import TYPE_CHECKING, Any, ClassVar

from gta.study import Run
from gta.study.commands import command
from gta.study.kinds import Input
from gta.study.run import CELL, IDENTITY, POINT, identity_of
from gta.tables.kinds.base import TableKind

if TYPE_CHECKING:
    import pandas as pd

    from gta.study import Study
    from gta.tables.collected import Collected
    from gta.tables.layout import Cell, Page

PERCENT = 100.0
PROTOCOL = ["protocol", "mass", "heads", "ignore_void"]
MEASURES = ["jaccard", "matched_jaccard", "attention_mass"]
PARTS = [f"{measure}{part}" for measure in MEASURES for part in ("", "_std")]
MEASURE_TITLES = {"matched_jaccard": "Matched Jaccard", "attention_mass": "Attention mass"}


class Segmentation(TableKind):
    """Jaccard indices and attention mass of the last block's [cls] attention."""

    name: ClassVar[str] = "segmentation"
    inputs: ClassVar[tuple[Input, ...]] = ("metrics", "segmentation")
    weights: ClassVar[bool] = True
    masks: ClassVar[bool] = True
    reference_columns: ClassVar[tuple[str, ...]] = ("model", "jaccard")
    number: ClassVar[tuple[str, str] | None] = ("jaccard", "jaccard_std")

    def frame(self, study: Study, name: str, collected: Collected) -> pd.DataFrame:
        """As ``segmentation`` returns it."""
        reference = collected.reference(name)
        return segmentation(study, name, collected.selected, collected.segmentation, reference)

    def page(self, study: Study, name: str, frame: pd.DataFrame) -> Page:
        """As ``segmentation_page`` returns it."""
        return segmentation_page(study, name, frame)


def segmentation(
    study: Study,
    name: str,
    selected: pd.DataFrame,
    measured: pd.DataFrame,
    reference: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """A table of masks from attention.

    Args:
        study: the study.
        name: of the table.
        selected: as ``gta.tables.select`` gives it.
        measured: of the schema ``gta.attention.SEGMENTATION``, shares in [0, 1].
        reference: the paper's on PASCAL VOC 2012: model and jaccard, in [0, 1].

    Returns:
        A row for each selection, model and protocol: ``table, selection, model, dataset, rate,
        source, mix, lam, tuned, n, evaluated_on, protocol, mass, heads, ignore_void, jaccard,
        jaccard_std, matched_jaccard, matched_jaccard_std, attention_mass,
        attention_mass_std``; where measured on VOC, ``paper_jaccard, delta, within`` (as
        ``gta.tables.accuracy`` has them); ``chosen_at`` and ``missing``. In percent, means and
        deviations (ddof 1) over seeds. ``dataset`` is the one trained on, ``rate`` and ``lam``
        are NaN for a source before fine-tuning.
    """
    import pandas as pd

    from gta.tables.order import cells_of, in_order
    from gta.tables.reference import within

    chosen = cells_of(study, name).merge(selected, on=CELL, how="left")
    protocols = _protocols(study, measured)
    cells = chosen.merge(_places(study, chosen, measured), on="dataset")
    trained = _trained(study, cells, protocols, measured)
    table = pd.concat([_pretrained(study, cells, protocols, measured), trained], ignore_index=True)
    table[PARTS] = (table[PARTS] * PERCENT).where(table["missing"] == "")
    table = table.assign(table=name)
    columns = ["table", "selection", "model", "dataset", "rate", "source", "mix", *POINT, "n"]
    columns += ["evaluated_on", *PROTOCOL, *PARTS]
    on_voc = table["evaluated_on"] == "voc12"
    if reference is not None and on_voc.any():
        paper = table["model"].map(reference.set_index("model")["jaccard"]) * PERCENT
        table["paper_jaccard"] = paper.where(on_voc)
        table["delta"] = table["jaccard"] - table["paper_jaccard"]
        table["within"] = within(
            table["delta"], table["jaccard_std"], table["n"], pd.Series(nan, table.index)
        )
        columns += ["paper_jaccard", "delta", "within"]
    return in_order(study, name, table)[[*columns, "chosen_at", "missing"]]


def _protocols(study: Study, measured: pd.DataFrame) -> pd.DataFrame:
    """The protocols that were measured; else those that the config asks for."""
    import pandas as pd

    found = measured[PROTOCOL].drop_duplicates()
    if len(found):
        return found
    asked = study.config.segmentation.measured
    return pd.DataFrame([[p.name, p.mass, p.heads, p.ignore_void] for p in asked], columns=PROTOCOL)


def _places(study: Study, cells: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Datasets whose masks the models of each dataset were, or are to be, compared with."""
    import pandas as pd

    found = measured[["dataset", "evaluated_on"]].dropna().drop_duplicates()
    places = cells[["dataset"]].drop_duplicates().merge(found, on="dataset", how="left")
    to_be = places["dataset"]
    if study.config.segmentation.dataset is not None:
        to_be = pd.Series(study.config.segmentation.dataset, index=places.index)
    return places.assign(evaluated_on=places["evaluated_on"].fillna(to_be))


def _pretrained(
    study: Study, cells: pd.DataFrame, protocols: pd.DataFrame, measured: pd.DataFrame
) -> pd.DataFrame:
    """Sources before fine-tuning, on each dataset's masks."""
    from gta.tables.missing import UNMEASURED
    from gta.tables.order import PRETRAINED

    keys = ["source", "evaluated_on", "protocol"]
    before = measured[measured["method"].isna()]
    means = before.groupby(keys)[MEASURES].mean().reset_index()
    table = cells[["selection", "source", "evaluated_on"]].drop_duplicates()
    table = table.merge(protocols, how="cross").merge(means, on=keys, how="left")
    there = table["jaccard"].notna()
    bare = table["evaluated_on"].map(partial(_without_masks, study))
    what = table["source"] + " on the masks of " + table["evaluated_on"]
    why = f": {UNMEASURED.state}: {UNMEASURED.reason}: `{command(study, 'segmentation')}`"
    return table.assign(
        model=PRETRAINED,
        n=there.astype(int),
        missing=(what + why).mask(there, "").mask(~there & (bare != ""), bare),
        **dict.fromkeys(("dataset", "mix"), None),
        tuned="",
        **dict.fromkeys(("rate", "lam", "chosen_at", *(f"{m}_std" for m in MEASURES)), nan),
    )


def _without_masks(study: Study, dataset: str) -> str:
    """Note that a dataset has no masks; empty if it may have some."""
    if study.has_masks(dataset):
        return ""
    return f"{study.dataset_info(dataset).title} has no object masks"


def _trained(
    study: Study, cells: pd.DataFrame, protocols: pd.DataFrame, measured: pd.DataFrame
) -> pd.DataFrame:
    """The runs of each cell at its lambda, over seeds."""
    from gta.tables.missing import UNMEASURED, describe

    keys = [*CELL, *POINT, "evaluated_on"]
    wanted = measured.merge(cells[keys].drop_duplicates(), on=keys)
    how = {"n": ("seed", "size")}
    how |= {measure: (measure, "mean") for measure in MEASURES}
    how |= {f"{measure}_std": (measure, "std") for measure in MEASURES}
    means = wanted.groupby([*keys, "protocol"]).agg(**how).reset_index()
    table = cells.drop(columns="n").merge(protocols, how="cross")
    table = table.merge(means, on=[*keys, "protocol"], how="left").fillna({"n": 0})
    seeds = study.config.seeds
    unmeasured = (table["missing"] == "") & (table["n"] < len(seeds))
    there = set(wanted[[*IDENTITY, "evaluated_on"]].itertuples(index=False, name=None))
    for row in table[unmeasured].itertuples():
        about = {field: getattr(row, field) for field in IDENTITY if field != "seed"}
        runs = [Run(**about, seed=seed) for seed in seeds]
        if bare := _without_masks(study, str(row.evaluated_on)):
            table.loc[row.Index, "missing"] = bare
            continue
        absent = [run for run in runs if (*identity_of(run), row.evaluated_on) not in there]
        text = describe(study, absent, dict.fromkeys(absent, UNMEASURED))
        table.loc[row.Index, "missing"] = text
    return table.astype({"n": int}).rename(columns={"method": "model"})


def segmentation_page(study: Study, name: str, table: pd.DataFrame) -> Page:
    """Lay out what ``segmentation`` returns, both selections side by side."""
    import pandas as pd

    from gta.tables.layout import Cell, Page, difference, grid, title_of
    from gta.tables.notes import choice_remarks, hole_remarks, paper_remark, recipe_note

    spec = study.tables[name]
    page = Page(name, spec.title, spec.caption)
    elsewhere = table["dataset"].notna() & (table["dataset"] != table["evaluated_on"])
    down = ["evaluated_on", *(["dataset"] if elsewhere.any() else []), "model"]
    down += [f for f in ("source", "mix") if table[f].nunique() > 1] + ["rate"]
    protocols = list(dict.fromkeys(table["protocol"]))
    blocks = []
    for protocol in protocols:
        rows = table[table["protocol"] == protocol]
        first = protocol == protocols[0]
        columns = {f"Jaccard, {protocol}": _measure(page, study, rows, "jaccard", first)}
        if "paper_jaccard" in table:
            columns["paper"] = lambda row: Cell(row.paper_jaccard)
            columns["Δ"] = difference
        if protocol == protocols[-1]:
            for measure, title in MEASURE_TITLES.items():
                columns[title] = _measure(page, study, rows, measure)
        blocks.append(grid(study, rows, down, ["selection"], columns))
    cells = pd.concat(blocks, axis=1)
    order = list(dict.fromkeys(cells.columns.get_level_values(0)))
    if "paper_jaccard" in table:  # three columns a protocol: each choice of lambda fills a page
        page.blocks += [(selection, cells[selection]) for selection in order]
    else:
        page.blocks.append(("", cells[order]))
    seeds = ", ".join(map(str, study.config.seeds))
    page.remarks.append(f"On the test images; mean ± sample standard deviation over seeds {seeds}.")
    known = table.dropna(subset="mass").drop_duplicates("protocol")[PROTOCOL]
    settings = study.config.segmentation  # a size holds where the masks are of another dataset
    sizes = {p.name: p.size for p in settings.measured if settings.dataset is not None}
    for protocol, mass, heads, ignore_void in known.to_numpy().tolist():
        size = sizes.get(protocol)
        view = f"; images of {size} x {size} pixels, whatever their aspect" if size else ""
        void = ", void pixels left out" if ignore_void else ""
        page.remarks.append(
            f"Jaccard, {protocol}: the fewest patches that hold {100 * mass:g} % of a head's "
            f"attention, {heads} head{void}{view}."
        )
    page.remarks.append(
        "Matched Jaccard: as many patches as the objects cover, the strongest in the mean of heads."
    )
    if "paper_jaccard" in table:
        page.remarks.append(paper_remark())
    page.remarks.extend(hole_remarks(table))
    page.remarks.extend(choice_remarks(study, table["model"]))
    page.remarks.append(recipe_note(study, study.runs_of(name), partial(title_of, study)))
    return page


def _measure(
    page: Page, study: Study, rows: pd.DataFrame, name: str, with_lam: bool = False
) -> Callable[[Any], Cell]:
    from gta.tables.layout import Cell, best, choice

    highest = best(rows, name, ["selection", "evaluated_on"])

    def cell(row: Any) -> Cell:
        chosen, text = choice(study, row, row.model) if with_lam else ({}, row.missing)
        mean, std = getattr(row, name), getattr(row, f"{name}_std")
        first = bool(highest[row.Index])
        return Cell(mean, std, notes=page.note(text), best=first, **chosen)

    return cell
