"""Files that are not what their name says, and files that are better read another way."""

from loader.part import Head

LFS = b"version https://git-lfs.github.com/spec"
EXPORTS = {
    ".mpr": "BioLogic's binary file: export it as text (.mpt) from EC-Lab, and load that",
    ".res": "Arbin's database: export it as .xlsx or .csv from MITS Pro, and load that",
}


def explain(head: Head) -> str | None:
    """Say what stands in place of a recording, and what to do; None where nothing does."""
    if head.start.startswith(LFS):
        return "a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`"
    start = head.start.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].lower()
    if start.startswith((b"<!doctype html", b"<html")) and head.suffix not in (".html", ".htm"):
        return "a web page, not a recording: the download failed; fetch the file again"
    return None


def another_way(head: Head) -> str | None:
    """Say how to get a file that can be read out of one that cannot; None where no way is known."""
    return EXPORTS.get(head.suffix)
