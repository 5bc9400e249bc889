"""`glassbox artifacts`: list, show, verify, lineage and delete."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from glassbox.cli.numbers import age, size
from glassbox.cli.options import JsonOption, WorkspaceOption
from glassbox.cli.output import print_json, standard_error, standard_output
from glassbox.cli.tables import facts_table, listing
from glassbox.errors import BadInput
from glassbox.workspace import Artifact, Workspace
from glassbox.workspace.artifact_index import ArtifactEntry
from glassbox.workspace.artifacts import Lineage
from glassbox.workspace.names import Kind, check_kind

commands = typer.Typer(no_args_is_help=True, help="List, show, verify, trace, share and delete artifacts.")

KindArgument = Annotated[str, typer.Argument(metavar="KIND", help="corpus, tokenizer, shards, model, report, …")]
ReferenceArgument = Annotated[str, typer.Argument(metavar="NAME[:VERSION]", help="Without a version: the newest.")]


@commands.command("list")
def list_artifacts(
    kind: Annotated[str | None, typer.Option(help="Only artifacts of this kind.", show_default=False)] = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Every artifact, newest first."""
    entries = Workspace(workspace).artifacts.list(None if kind is None else check_kind(kind))
    if as_json:
        print_json({"artifacts": [_entry_facts(entry) for entry in entries]})
        return
    if not entries:
        standard_error().print("No artifacts yet. Begin with: glassbox collect --help", style="dim")
        return
    rows = [
        (entry.kind, entry.reference, size(entry.bytes), age(entry.created), entry.run or "")
        if entry.problem is None
        else (entry.kind, entry.reference, "", Text("damaged", style="red"), "")
        for entry in entries
    ]
    columns = ("kind", "artifact", "size", "age", "made by")
    standard_output().print(listing(columns, rows, numeric=("size", "age")))


@commands.command("show")
def show(
    kind: KindArgument, reference: ReferenceArgument, as_json: JsonOption = False, workspace: WorkspaceOption = None
) -> None:
    """Facts, files, hash and parents of an artifact."""
    artifact = Workspace(workspace).artifacts.get(check_kind(kind), reference)
    manifest = artifact.manifest
    if as_json:
        print_json({**manifest.model_dump(mode="json"), "folder": str(artifact.place)})
        return
    facts: dict[str, Any] = {
        "artifact": f"{manifest.kind} {artifact.reference}",
        "created": manifest.created.isoformat(timespec="seconds"),
        "made by": manifest.run,
        "made from": [str(parent) for parent in manifest.parents],
        "facts": manifest.facts,
        "files": {path: size(entry.bytes) for path, entry in manifest.files.items()},
        "size": size(manifest.bytes),
        "sha-256": manifest.hash,
        "folder": str(artifact.place),
    }
    standard_output().print(facts_table(facts))


@commands.command("verify")
def verify(
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help="corpus, model, …", show_default="all")] = None,
    reference: Annotated[
        str | None,
        typer.Argument(metavar="[NAME[:VERSION]]", help="Without a version: the newest.", show_default="all"),
    ] = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Read every byte of artifacts and compare with their manifests; exits with 2 if anything differs."""
    artifacts = Workspace(workspace).artifacts
    if kind is not None and reference is not None:
        folders = [artifacts.folder_of(check_kind(kind), reference)]
    else:
        folders = [entry.folder for entry in artifacts.list(None if kind is None else check_kind(kind))]
    problems: dict[str, list[str]] = {}
    for folder in folders:
        name = f"{folder.parent.parent.name} {folder.parent.name}:{folder.name}"
        try:
            problems[name] = Artifact.read(folder).problems()
        except BadInput as error:
            problems[name] = [error.problem]
    damaged = {name: sentences for name, sentences in problems.items() if sentences}
    if as_json:
        print_json({"verified": len(problems), "damaged": damaged})
    else:
        for name, sentences in problems.items():
            verdict = Text.assemble(name, "  ", ("as published", "dim") if not sentences else ("damaged", "red"))
            standard_output().print(verdict)
            for sentence in sentences:
                standard_output().print(Text(f"  {sentence}"), soft_wrap=True)
    if damaged:
        raise typer.Exit(2)


@commands.command("lineage")
def lineage(
    kind: KindArgument, reference: ReferenceArgument, as_json: JsonOption = False, workspace: WorkspaceOption = None
) -> None:
    """What an artifact was made from, down to the first text, and what was made from it."""
    artifacts = Workspace(workspace).artifacts
    artifact = artifacts.get(check_kind(kind), reference)
    ancestry, children = artifacts.lineage(artifact), artifacts.children(artifact.id)
    if as_json:
        made = [{"kind": child.kind, "reference": child.reference, "id": child.id} for child in children]
        print_json({**_lineage_facts(ancestry), "children": made})
        return
    console = standard_output()
    console.print(_lineage_tree(ancestry))
    if children:
        console.print(Text("\nmade from it", style="dim"))
        for child in children:
            console.print(Text(f"{child.kind} {child.reference}"))


@commands.command("share")
def share(as_json: JsonOption = False, workspace: WorkspaceOption = None) -> None:
    """Publish what only this machine has to the store that machines share, $GLASSBOX_ARTIFACTS_URL."""
    artifacts = Workspace(workspace).artifacts
    shared = [
        f"{entry.kind} {entry.reference}"
        for entry in reversed(artifacts.list())  # the oldest first: parents before what was made from them
        if entry.problem is None and artifacts.share(entry.folder)
    ]
    if as_json:
        print_json({"shared": shared})
    else:
        standard_error().print(f"Shared {', '.join(shared) or 'nothing: all of it is there already'}.", style="dim")


@commands.command("delete")
def delete(
    kind: KindArgument,
    reference: ReferenceArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Even if others were made from it, or a run reads it.")
    ] = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Delete one version of an artifact; its number is never given again."""
    opened = Workspace(workspace)
    checked: Kind = check_kind(kind)
    folder = opened.artifacts.folder_of(checked, reference)
    exact = f"{folder.parent.name}:{folder.name}"
    opened.delete_artifact(checked, exact, force=force)
    if as_json:
        print_json({"deleted": {"kind": checked, "reference": exact}})
    else:
        standard_error().print(f"Deleted the {checked} {exact}.", style="dim")


def _entry_facts(entry: ArtifactEntry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "version": entry.version,
        "reference": entry.reference,
        "id": entry.id,
        "bytes": entry.bytes,
        "created": entry.created.isoformat(),
        "run": entry.run,
        "problem": entry.problem,
        "folder": str(entry.folder),
    }


def _lineage_facts(one: Lineage) -> dict[str, Any]:
    return {
        "kind": one.link.kind,
        "reference": one.link.reference,
        "id": one.link.id,
        "deleted": one.artifact is None,
        "run": one.artifact.manifest.run if one.artifact else None,
        "parents": [_lineage_facts(parent) for parent in one.parents],
    }


def _lineage_tree(one: Lineage, onto: Tree | None = None) -> Tree:
    run = one.artifact.manifest.run if one.artifact else None
    label = Text.assemble(str(one.link), (f"  {run or ''}" if one.artifact else "  deleted", "dim"))
    branch = Tree(label, guide_style="dim") if onto is None else onto.add(label)
    for parent in one.parents:
        _lineage_tree(parent, branch)
    return branch
