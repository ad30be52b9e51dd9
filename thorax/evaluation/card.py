"""The model card (Mitchell et al. 2019, FAT*), written from the measured figures: no number in it is typed by hand."""

from collections.abc import Mapping
from typing import Any

from thorax.evaluation.canvas import words
from thorax.evaluation.report import count_text, figure_text, share_text
from thorax.evaluation.subgroups import in_order
from thorax.evaluation.summary import OVERCONFIDENT


def write_card(evaluation: Mapping[str, Any], bundle: Mapping[str, Any]) -> str:
    """Return the model card as Markdown.

    Args:
        evaluation: the content of `evaluation.json`.
        bundle: the content of `bundle.json`: name, architecture, findings, size, preprocessing, revision, synthetic,
            created, lineage. What is missing is left out.
    """
    sections = (
        _title(evaluation, bundle),
        _use(evaluation, bundle),
        _data(evaluation, bundle),
        _results(evaluation),
        _calibration(evaluation),
        _subgroups(evaluation),
        _limits(evaluation),
        _licence(),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _title(evaluation: Mapping[str, Any], bundle: Mapping[str, Any]) -> str:
    name = bundle.get("name") or evaluation.get("title", "model")
    lines = [f"# Model card: {name}"]
    if evaluation.get("synthetic"):
        lines.append("> **Synthetic.** Trained and tested on synthetic phantoms. No figure applies to people.")
    facts = [
        "A network that says, for a frontal chest radiograph, how likely each of "
        f"{len(evaluation['findings'])} findings is."
    ]
    network = evaluation.get("network", {})
    rows = {
        "Architecture": bundle.get("architecture") or network.get("architecture"),
        "Parameters": count_text(network["parameters"]) if network.get("parameters") else None,
        "Input": f"{bundle['size']} × {bundle['size']} px, one channel" if bundle.get("size") else None,
        "Findings": ", ".join(words(finding) for finding in evaluation["findings"]),
        "Made": bundle.get("created"),
        "Data revision": bundle.get("revision") or evaluation.get("data", {}).get("revision"),
    }
    table = ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items() if value)]
    return "\n\n".join([*lines, *facts, "\n".join(table)])


def _use(evaluation: Mapping[str, Any], bundle: Mapping[str, Any]) -> str:
    refer = evaluation["uncertainty"]["refer"]
    return (
        "## Intended use\n\n"
        "Research on computer-aided reading, teaching, and as a second opinion whose every answer a physician checks. "
        "It is research software and no medical device: it must not decide on a patient. "
        f"{_scope(bundle.get('scope') or {})} "
        f"{_referral(refer)}"
    )


def _scope(scope: Mapping[str, Any]) -> str:
    """Say what the training data hold, and that everything else is out of scope."""
    age = scope.get("age")
    rows = {
        "views": ", ".join(scope.get("views", ())),
        "ages": f"{age[0]:.0f} to {age[1]:.0f} years" if age else "",
        "sexes": ", ".join(scope.get("sexes", ())),
        "manufacturers": ", ".join(scope.get("manufacturers", ())),
    }
    said = "; ".join(f"{name}: {value}" for name, value in rows.items() if value)
    held = f" ({said})" if said else ""
    return (
        f"It is meant for chest radiographs like its training data{held}. Other views and ages, other body parts and "
        "other imaging are outside its scope."
    )


def _referral(refer: Mapping[str, Any]) -> str:
    """Say how many images are referred, by which budget, and what it spares."""
    budget = refer["rule"].get("share")
    said = f" (budget: {share_text(budget)})" if budget is not None else ""
    return (
        f"On the test images it refers {share_text(refer['share'])} to a radiologist{said}. Wrong answers: "
        f"{share_text(refer['error_kept'], 1)} on the images kept, {share_text(refer['error_all'], 1)} on all."
    )


def _data(evaluation: Mapping[str, Any], bundle: Mapping[str, Any]) -> str:
    data, info = evaluation.get("data", {}), evaluation["calibration"]["info"]
    lines = [
        f"- Source: {data.get('source') or 'not recorded'}"
        + (" (synthetic phantoms)" if evaluation.get("synthetic") else ""),
        f"- Test: {count_text(evaluation['images'])} images of {count_text(evaluation['patients'])} patients",
        f"- Calibration: {count_text(info['images'])} images of {count_text(info['patients'])} other patients",
        f"- Training: {count_text(info['train_images'])} images; no patient is in two of these",
    ]
    lineage = bundle.get("lineage") or {}
    lines += [
        f"- {words(str(key)).capitalize()}: `{value}`"
        for key, value in lineage.items()
        if isinstance(value, str) and value
    ]
    return "## Data\n\n" + "\n".join(lines)


def _results(evaluation: Mapping[str, Any]) -> str:
    metrics = evaluation["metrics"]
    rows = [
        "| Finding | Positives | AUROC | AUPRC | Sensitivity | Specificity | Precision | F1 |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    keys = ("auroc", "auprc", "sensitivity", "specificity", "precision", "f1")
    for name in evaluation["findings"]:
        cells = " | ".join(figure_text(metrics[name][key]) for key in keys)
        rows.append(f"| {words(name)} | {count_text(metrics[name]['positives'])} | {cells} |")
    rows.append("| **Mean** | | " + " | ".join(figure_text(metrics["mean"][key]) for key in keys) + " |")
    where = ""
    if evaluation.get("localization"):
        mean = evaluation["localization"]["mean"]
        where = (
            f"\n\nThe hottest point of the heatmap lies in the reader's box for "
            f"{figure_text(mean['pointing_game'])} of {count_text(mean['images'])} boxed findings (mean over "
            f"findings); a random point for {mean['chance']['value']:.2f}."
        )
    if evaluation.get("faithfulness"):
        tried = evaluation["faithfulness"]
        where += (
            f"\n\nOn {count_text(tried['cases'])} findings, bringing back what the heatmap shows and blurring it away "
            f"moved the network's own probability by {figure_text(tried['gain'], 3)} more than a random map did (areas "
            "of insertion less deletion; above 0 is better than chance). Redrawing the network's weights left a rank "
            f"correlation of {figure_text(tried['redrawn'])} with the old map (a random map: "
            f"{figure_text(tried['noise'])})."
        )
    return (
        f"## Results\n\nOn the test patients, with {share_text(evaluation['confidence'])} intervals by patient "
        f"({count_text(evaluation['bootstrap'])} bootstrap replicates).\n\n" + "\n".join(rows) + where
    )


def _calibration(evaluation: Mapping[str, Any]) -> str:
    mean, calibration = evaluation["metrics"]["mean"], evaluation["calibration"]
    rows = ["| Finding | Calibrator | Threshold | ECE before | ECE after | Note |", "|---|---|---:|---:|---:|---|"]
    for name in evaluation["findings"]:
        entry, metrics = calibration["by_finding"][name], evaluation["metrics"][name]
        rows.append(
            f"| {words(name)} | {words(entry['method'])} | {entry['threshold']:.3f} | "
            f"{figure_text(metrics['ece_raw'], 3)} | {figure_text(metrics['ece'], 3)} | {entry['note']} |"
        )
    return (
        "## Calibration\n\n"
        f"Mean expected calibration error over {evaluation['ece_bins']} bins of equal mass: "
        f"{figure_text(mean['ece_raw'], 3)} before, {figure_text(mean['ece'], 3)} after. "
        f"Called present above {OVERCONFIDENT:.0%} and wrong: "
        f"{count_text(_sum(evaluation, 'overconfident_raw'))} times before, "
        f"{count_text(_sum(evaluation, 'overconfident'))} after.\n\n"
        + "\n".join(rows)
        + f"\n\nOperating points: {_rule(calibration['info'])}.\n\n"
        + _answers(evaluation)
    )


def _sum(evaluation: Mapping[str, Any], name: str) -> int:
    return sum(evaluation["metrics"][finding][name] for finding in evaluation["findings"])


def _rule(info: Mapping[str, Any]) -> str:
    """Say how thresholds were chosen."""
    kind = str(info["operating_point"])
    return f"{kind} of {share_text(info['target'])}" if kind in ("sensitivity", "specificity") else kind


def _answers(evaluation: Mapping[str, Any]) -> str:
    """Say which error rates the answers guarantee, and which were measured."""
    alpha, info = evaluation["calibration"]["alpha"], evaluation["calibration"]["info"].get("promised", {})
    rows = [
        "| Finding | Present, answered “absent” | Absent, answered “present” | Uncertain |",
        "|---|---:|---:|---:|",
    ]
    measured = evaluation["conformal"].get("findings", {})
    for name in (one for one in evaluation["findings"] if one in measured):
        entry = measured[name]
        cells = " | ".join(figure_text(entry[key]) for key in ("missed", "false", "uncertain"))
        rows.append(f"| {words(name)} | {cells} |")
    return (
        "Each finding is answered present, absent or uncertain. Of patients with the finding at most "
        f"{share_text(info.get('missed', alpha))} should be answered “absent”, and of patients without it at most "
        f"{share_text(info.get('false', alpha))} “present”. On the test patients:\n\n" + "\n".join(rows)
    )


def _subgroups(evaluation: Mapping[str, Any]) -> str:
    rows = ["| Group | Images | Mean AUROC | Mean sensitivity | Mean specificity |", "|---|---:|---:|---:|---:|"]
    for attribute, entry in evaluation["subgroups"].items():
        for name in in_order(attribute, entry["groups"]):
            group = entry["groups"][name]
            if group.get("too_small"):
                rows.append(f"| {attribute}: {name} | {group['images']} | too small | too small | too small |")
                continue
            cells = " | ".join(figure_text(group["mean"].get(key)) for key in ("auroc", "sensitivity", "specificity"))
            rows.append(f"| {attribute}: {name} | {count_text(group['images'])} | {cells} |")
    return "## Results by subgroup\n\n" + "\n".join(rows) if len(rows) > 2 else ""


def _limits(evaluation: Mapping[str, Any]) -> str:
    metrics, findings = evaluation["metrics"], evaluation["findings"]
    told = {name: metrics[name]["auroc"]["value"] for name in findings if metrics[name]["auroc"]["value"] is not None}
    lines = [
        "- Labels of public sets are mostly mined from reports and are wrong in places; so is what was learnt "
        "from them.",
        "- Another hospital, scanner or population may give other figures: watch it, and calibrate again.",
        f"- A condition outside the {len(findings)} findings is not named; at best the image is called unlike the "
        f"training images, as {share_text(evaluation['ood']['false_alarms'], 1)} of the ordinary test images are too.",
    ]
    if told:
        worst = min(told, key=told.__getitem__)
        lines.append(f"- Weakest finding: {words(worst)}, AUROC {figure_text(metrics[worst]['auroc'])}.")
    untold = [words(name) for name in findings if name not in told]
    if untold:
        lines.append(f"- Not judged, for want of positives or negatives in the test split: {', '.join(untold)}.")
    failed = [
        attribute
        for attribute, entry in evaluation["subgroups"].items()
        if entry["gaps"].get("auroc", {}).get("passed") is False
    ]
    tried = evaluation.get("faithfulness")
    if tried and not tried["sane"]:
        lines.append(
            "- Its heatmaps resemble those of the same network with redrawn weights "
            f"({figure_text(tried['redrawn'])}), so they show the image more than what was learnt."
        )
    if failed:
        lines.append(f"- The gap between groups of {', '.join(failed)} is above the limit of the settings.")
    return "## Limits\n\n" + "\n".join(lines)


def _licence() -> str:
    return (
        "## Licence\n\nThe software is under the Apache License 2.0. The weights carry the terms of the data that they "
        "were trained on, which their user must observe."
    )
