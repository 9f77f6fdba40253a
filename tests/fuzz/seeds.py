"""Writes the seed corpus: `python -m fuzz.seeds`, with tests/ on the path."""

from fuzz import FOLDER, TARGETS, load


def main():
    for name in TARGETS:
        folder = FOLDER / "corpus" / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed, content in load(name).seeds():
            (folder / seed).write_bytes(content)


if __name__ == "__main__":
    main()
