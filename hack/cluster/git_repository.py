"""A bare Git repository with a clone of it, for what people do there: change a file, push, take it back."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BRANCH = "main"
_AUTHOR = ("-c", "user.name=Example", "-c", "user.email=example@example.com")


@dataclass(frozen=True)
class Repository:
    """The repository `folder/NAME.git`, and a working tree in `folder/NAME`."""

    folder: Path
    name: str

    def create(self) -> "Repository":
        """Make both, without a commit."""
        self._git(self.folder, "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", f"{self.name}.git")
        self._git(self.folder, "clone", "--quiet", f"{self.name}.git", self.name)
        self._git(self._tree, "checkout", "--quiet", "-B", BRANCH)
        return self

    def push(self, message: str, files: Mapping[str, str | None]) -> str:
        """Write files, or remove those that are None; commit, push, and return the commit."""
        for name, text in files.items():
            path = self._tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text, encoding="utf-8")
        self._git(self._tree, "add", "--all")
        self._git(self._tree, "commit", "--quiet", "--message", message)
        return self._publish()

    def revert(self) -> str:
        """Take the newest commit back by one more, as `git revert` does; return that."""
        self._git(self._tree, "revert", "--no-edit", "HEAD")
        return self._publish()

    @property
    def _tree(self) -> Path:
        return self.folder / self.name

    def _publish(self) -> str:
        self._git(self._tree, "push", "--quiet", "origin", BRANCH)
        return self._git(self._tree, "rev-parse", "HEAD").strip()

    @staticmethod
    def _git(where: Path, *arguments: str) -> str:
        command = ["git", *_AUTHOR, *arguments]
        return subprocess.run(command, cwd=where, check=True, capture_output=True, text=True).stdout
