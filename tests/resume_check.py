"""Kill a training run again and again, start it anew each time, and compare its losses with an unbroken run's.

    python tests/resume_check.py --kills 50

Half of the kills come at a random time, half while a checkpoint is being saved. After each, the checkpoint must be one
that loads: the one before the save or the one after it. In the end every loss must be that of the run that was left
alone, bit for bit, and no temporary file may be left. Exits with 1 if any of this fails.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

PROGRAM = Path(__file__).parent / "programs" / "resumed_transformer.py"


class Counts(NamedTuple):
    """What happened in a run that was killed."""

    kills: int
    while_saving: int
    starts: int
    leftovers_seen: int
    leftovers_in_the_end: int
    unreadable: int
    equal: bool

    def __str__(self) -> str:
        return (f"{self.kills} kills, {self.while_saving} of them while a save was under way; {self.starts} starts; "
                f"{self.unreadable} half-written checkpoints; {self.leftovers_seen} temporary files found after kills, "
                f"{self.leftovers_in_the_end} left in the end; losses {'equal' if self.equal else 'DIFFERENT'}")

    @property
    def good(self) -> bool:
        """Whether all is as it should be."""
        return self.equal and not self.unreadable and not self.leftovers_in_the_end


class Run:
    """A training run in a folder of its own."""

    def __init__(self, folder: Path, steps: int, workers: int) -> None:
        folder.mkdir()
        self.folder = folder
        self.checkpoint, self.losses = folder / "run.pt", folder / "losses.txt"
        source = re.sub(r"^import torch$", "import flambeau as torch", PROGRAM.read_text(), flags=re.MULTILINE)
        script = folder.parent / "program.py"
        script.write_text(re.sub(r"^(import|from) torch\b", r"\1 flambeau", source, flags=re.MULTILINE))
        self.command = [sys.executable, str(script), "--steps", str(steps), "--every", "1", "--workers", str(workers),
                        "--checkpoint", str(self.checkpoint), "--losses", str(self.losses)]

    def start(self) -> subprocess.Popen[str]:
        """Start it, or go on with it."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True, env=environment)

    def finish(self) -> None:
        """Let it come to its end."""
        process = self.start()
        process.communicate()
        if process.returncode:
            raise SystemExit(f"the program ended with {process.returncode}")

    def leftovers(self) -> list[str]:
        """Files that are neither the checkpoint nor the losses."""
        return [each.name for each in self.folder.iterdir() if each not in (self.checkpoint, self.losses)]

    def is_whole(self) -> bool:
        """Whether the checkpoint, if there is one, can be read."""
        import flambeau

        if not self.checkpoint.exists():
            return True
        try:
            return set(flambeau.load(self.checkpoint)) >= {"model", "optimizer", "scheduler", "loader", "step"}
        except (RuntimeError, EOFError, ValueError) as error:
            print(f"{self.checkpoint} cannot be read: {error}")
            return False


def kill_once(run: Run, saving: bool, delay: float) -> tuple[bool, bool]:
    """Start the run and kill it; whether it was killed before it ended, and whether that was in a save.

    `saving`: `delay` seconds after it said that it is saving for the second time; else `delay` seconds after its start.
    """
    process = run.start()
    assert process.stdout is not None
    timer = threading.Timer(delay, process.kill)
    if not saving:
        timer.start()
    saves, last = 0, ""
    for line in process.stdout:
        last = line
        saves += line.startswith("saving")
        if saving and saves == 2 and line.startswith("saving"):
            time.sleep(delay)
            process.kill()
    process.stdout.close()
    process.wait()
    timer.cancel()
    killed = process.returncode == -signal.SIGKILL
    if not killed and process.returncode:
        raise SystemExit(f"the program ended with {process.returncode}")
    return killed, killed and last.startswith("saving")


def check(folder: Path, kills: int, steps: int, workers: int = 0, chatty: bool = False) -> Counts:
    """Kill a run `kills` times, and compare it with one that was left alone.

    Where it comes to its end before the last kill, it is begun again from nothing.
    """
    whole = Run(folder / "whole", steps, workers)
    begin = time.monotonic()
    whole.finish()
    seconds = time.monotonic() - begin
    run = Run(folder / "killed", steps, workers)
    done = while_saving = starts = leftovers = unreadable = 0
    expected = whole.losses.read_text()
    equal = True
    while done < kills:
        if run.losses.exists():  # it came to its end between two kills
            equal = equal and run.losses.read_text() == expected
            run.losses.unlink()
            run.checkpoint.unlink()
        starts += 1
        saving = starts % 2 == 0
        killed, in_save = kill_once(run, saving, random.uniform(0, 0.006 if saving else 0.5 * seconds))
        done += killed
        while_saving += in_save
        leftovers += len(run.leftovers())
        unreadable += not run.is_whole()
        if chatty:
            print(f"kill {done}: {'while saving' if in_save else 'elsewhere'}; found {run.leftovers()}", flush=True)
    run.finish()
    equal = equal and run.losses.read_text() == expected
    return Counts(done, while_saving, starts + 1, leftovers, len(run.leftovers()), unreadable, equal)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, help="of the run; enough that it does not end before the last kill")
    parser.add_argument("--workers", type=int, default=0, help="processes that load")
    parser.add_argument("--quiet", action="store_true", help="only the closing line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = check(Path(folder), options.kills, options.steps or 20 + 4 * options.kills, options.workers,
                       not options.quiet)
    print(counts)
    return 0 if counts.good else 1


if __name__ == "__main__":
    sys.exit(main())
