"""`python -m core.labels COMMAND`: labels out to a file, in from a file, as a report, or their tables up to date.

    python -m core.labels export labels.parquet --bundle demo-vit-b4bd25d7b7f2
    python -m core.labels import colleague.csv
    python -m core.labels report bundles/demo-vit-b4bd25d7b7f2 --out labels.html
    python -m core.labels migrate

The database is DATABASE_URL, or labels.sqlite beside the folder of bundles, or what --database names.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from core.bundle.atomic import atomic_bytes
from core.errors import LabelRejected, UnitscopeError
from core.labels import files
from core.labels.database import Labels, default_url
from core.labels.events import Event
from core.labels.ledger import Ledger

_SHOWN = 20  # conflicts told in full


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. An error that the user can act on is one sentence, not a traceback."""
    arguments = _parser().parse_args(argv)
    try:
        labels = Labels(arguments.database or default_url(arguments.bundles))
        try:
            arguments.command(labels, arguments)
        finally:
            labels.close()
    except UnitscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _export(labels: Labels, arguments: argparse.Namespace) -> None:
    events = labels.since(0, arguments.bundle)
    if not events:
        of = f" of {arguments.bundle}" if arguments.bundle else ""
        there = ", ".join(f"{name} ({count:,})" for name, count in labels.bundles().items()) or "nothing"
        raise LabelRejected(f"Nothing was said{of} in {labels.where}. It has events of: {there}.")
    format = arguments.format or arguments.file.suffix.lstrip(".").lower()
    atomic_bytes(arguments.file, files.export(events, format))
    print(f"{len(events):,} events written to {arguments.file}")


def _import(labels: Labels, arguments: argparse.Namespace) -> None:
    try:
        data = arguments.file.read_bytes()
    except OSError as error:
        raise LabelRejected(f"{arguments.file} cannot be read ({error.strerror}). Check its name.") from error
    plan = files.plan(labels, files.read(data, arguments.file.name))
    for title, pairs in (
        ("Changed since they were saved here; what is saved here stays:", plan.altered),
        ("Labelled otherwise here; both are kept:", plan.differing),
    ):
        if pairs:
            print(title)
            print("\n".join(f"  {_told(theirs)}\n    here: {_told(ours)}" for theirs, ours in pairs[:_SHOWN]))
            print(f"  and {len(pairs) - _SHOWN:,} more" if len(pairs) > _SHOWN else "", end="")
    if arguments.dry_run:
        print(f"{len(plan.new):,} new events, {len(plan.known):,} known already; nothing was stored.")
    else:
        print(f"{files.take(labels, plan):,} new events stored, {len(plan.known):,} known already.")


def _told(event: Event) -> str:
    return f"{event.address}{event.end} {event.annotator}: {event.text or event.kind!r}"


def _report(labels: Labels, arguments: argparse.Namespace) -> None:
    from core.bundle.read import open_bundle  # faiss comes with it, which the other commands do without
    from core.labels.report import html
    from core.store import Store

    store = Store(open_bundle(arguments.bundle))
    ledger = Ledger(labels, store.facts().bundle)
    ledger.refresh()
    out = arguments.out or Path(f"{store.facts().bundle}-labels.html")
    size = len(html(store, ledger, out))
    print(f"{out} ({size / 1e6:.1f} MB)")


def _migrate(labels: Labels, _arguments: argparse.Namespace) -> None:
    print(f"{labels.where} is up to date, with {labels.count():,} events.")  # opening it did all


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m core.labels", description="Labels of units, out, in and told.")
    parser.add_argument("--database", metavar="URL", help="instead of DATABASE_URL or the file beside the bundles")
    parser.add_argument("--bundles", type=Path, default=Path("bundles"), help="the folder of bundles (bundles)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    export = commands.add_parser("export", help="every event to a .csv, .jsonl or .parquet file")
    export.add_argument("file", type=Path)
    export.add_argument("--bundle", help="of this bundle or dictionary alone, by its id")
    export.add_argument("--format", choices=files.FORMATS, help="else the file's ending says it")
    export.set_defaults(command=_export)
    take = commands.add_parser("import", help="events of another desk; nothing is overwritten, repeats do nothing")
    take.add_argument("file", type=Path)
    take.add_argument("--dry-run", action="store_true", help="say what would happen, and store nothing")
    take.set_defaults(command=_import)
    report = commands.add_parser("report", help="one HTML file of a bundle's labels, which opens offline")
    report.add_argument("bundle", type=Path, help="the bundle's folder")
    report.add_argument("--out", type=Path, help="where to (BUNDLE-labels.html)")
    report.set_defaults(command=_report)
    migrate = commands.add_parser("migrate", help="bring the tables of the database up to date")
    migrate.set_defaults(command=_migrate)
    return parser


if __name__ == "__main__":
    sys.exit(main())
