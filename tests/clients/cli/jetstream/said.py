"""What the `nats` tool ($NATS) prints of the server whose URL is the argument, without what differs from run to run."""

import os
import re
import subprocess
import sys

URL = sys.argv[1]
TOOL = os.environ["NATS"]

# Times first, then lengths of time, rates and random names.
BLURRED = [
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?(Z|UTC|[+-]\d\d:?\d\d))?", "TIME"),
    (r"\d\d:\d\d:\d\d", "TIME"),
    (r"(\d+y)?(\d+d)?(\d+h)?(\d+m)?\d+(\.\d+)?(µs|us|ms|ns|s)\b", "LONG"),
    (r"[\d,.]+ (msgs/sec|msg/s|[KMG]?i?B/s(ec)?)", "RATE"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r"\b[A-Z2-7]{56}\b", "KEY"),
    (r"_INBOX\.\w+(\.\w+)?", "INBOX"),
    (r"/tmp/\w+", "FOLDER"),
]

# Lines of versions.
VERSIONS = r"_nats\.(ver|level|req\.level)|Host Version|Required API Level"


def blurred(text):
    for pattern, word in BLURRED:
        text = re.sub(pattern, word, text)
    # Where a word is of another length a table is of another width.
    text = re.sub(r"[─═━]+", "─", text)
    return re.sub(r"[ \t\xa0]+", " ", text)


def run(*words, user="app", given=None):
    done = subprocess.run([TOOL, "--no-context", "--server", URL, "--user", user, "--password", user, *words], capture_output=True, text=True, timeout=60, input=given)
    return done.returncode, done.stdout + done.stderr


def tool(*words, user="app", given=None, only=None, without=None, ordered=True):
    """Prints what the tool says: `only` lines in which a pattern is found, and those without another."""
    code, text = run(*words, user=user, given=given)
    without = f"{without}|{VERSIONS}" if without else VERSIONS
    lines = [line.rstrip() for line in blurred(text).splitlines() if line.strip(" ─│╭╮╰╯├┤┬┴┼")]
    lines = [line for line in lines if (not only or re.search(only, line)) and not re.search(without, line)]
    print(f"$ nats {blurred(' '.join(words))}" + (f" = {code}" if code else ""))
    for line in lines if ordered else sorted(lines):
        print(f"  {line}")
    sys.stdout.flush()
