# SPDX-License-Identifier: Apache-2.0
from nova_gpu_passthrough.generate.service_options import Option, Section, comment, option, to_ini


def test_sections_of_one_name_become_one():
    text = to_ini(
        [
            Section("pci", (Option("alias", ("a", "b"), "Why."),)),
            Section("empty", ()),
            Section("DEFAULT", (option("flag", True),)),
            Section("pci", (option("number", 3),)),
        ],
        "Heading.",
    )
    assert text == (
        "# Heading.\n\n[pci]\n# Why.\nalias = a\nalias = b\nnumber = 3\n\n[DEFAULT]\nflag = true\n"
    )


def test_comments_are_wrapped_and_keep_paragraphs():
    lines = comment("word " * 40 + "\n\nsecond").splitlines()
    assert all(line.startswith("#") and len(line) <= 100 for line in lines)
    assert lines[-2:] == ["#", "# second"]
