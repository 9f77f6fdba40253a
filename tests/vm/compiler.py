"""Compiles BPF text for a guest's kernel out here, where it takes a second and not half a minute.

    compiler.py FOLDER

Answers what `support.precompiled` asks for below FOLDER, until its stdin is closed. Nothing depends
on the kernel that compiles: offsets and addresses come from the guest, as -D numbers.
"""

import base64
import ctypes
import json
import select
import sys
from pathlib import Path

from ksmtrace.kernel.host import import_bcc
from ksmtrace.sources.live.program import compile_text

_LOOKS_SECONDS = 0.1


def main(folder):
    while not select.select([sys.stdin], [], [], _LOOKS_SECONDS)[0]:
        for request in sorted(folder.glob("*.request")):
            answer = request.with_suffix(".answer")
            if not answer.exists():
                part = request.with_suffix(".answering")
                part.write_text(json.dumps(_compile(**json.loads(request.read_text()))))
                part.rename(answer)


def _compile(text, flags):
    """Programs by name in base64, with this process's descriptors of maps in them, and the maps; or
    why there are none."""
    try:
        bpf = compile_text(text, flags)
    except Exception as error:  # noqa: BLE001 - whatever it is, the guest waits for an answer
        return {"error": str(error)}
    library, module = import_bcc().lib, bpf.module
    for name in ("bpf_table_name", "bpf_table_key_size_id", "bpf_table_leaf_size_id"):
        getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_size_t]  # bcc has not
    library.bpf_table_name.restype = ctypes.c_char_p
    names = [library.bpf_function_name(module, i) for i in range(library.bpf_num_functions(module))]
    programs = {name.decode(): base64.b64encode(bpf.dump_func(name)).decode() for name in names}
    maps = [_map(library, module, index) for index in range(library.bpf_num_tables(module))]
    bpf.cleanup()
    return {"programs": programs, "maps": maps}


def _map(library, module, index):
    name = library.bpf_table_name(module, index)
    return {
        "name": name.decode(),
        "descriptor": library.bpf_table_fd(module, name),
        "type": library.bpf_table_type_id(module, index),
        "key_bytes": library.bpf_table_key_size_id(module, index),
        "leaf_bytes": library.bpf_table_leaf_size_id(module, index),
        "entries": library.bpf_table_max_entries_id(module, index),
        "flags": library.bpf_table_flags_id(module, index),
        "leaf": json.loads(library.bpf_table_leaf_desc(module, name) or b"null"),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
