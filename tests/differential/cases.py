"""A case: one configuration, several conversations, perhaps a reload; all of it follows from the seed."""
import random

import configs
import conversations

CONVERSATION = "# conversation"


def case(seed):
    """The scenario text of a seed."""
    r = random.Random(seed)
    if r.random() < 0.03:
        return text_of_callout(r, seed)
    tree = configs.configuration(r)
    lines = [f"title: seed {seed}", "server a:", *configs.text(tree).splitlines(), "---"]
    for n in range(r.randint(2, 5)):
        lines += conversations.conversation(r, f"c{n}", tree)
    for n in range(r.choice((0, 1, 1, 2)) if configs.may_reload(tree) else 0):
        after = configs.changed(r, tree)
        before, behind = conversations.staying(r, f"r{n}", tree, after)
        lines += before + ["config a", *configs.text(after).splitlines(), "signal a SIGHUP", "sleep 0.7"] + behind
        tree = after
        for m in range(r.randint(0, 2)):
            lines += conversations.conversation(r, f"s{n}{m}", tree)
    return "\n".join(lines) + "\n"


def text_of_callout(r, seed):
    """What the service is asked is a JWT, which only our player shows: the official one prints the token."""
    tree = configs.with_callout(r)
    k = conversations.Conversation(r, "c0", tree)
    conversations.callout(k)
    return "\n".join([f"title: seed {seed}", "server a:", *configs.text(tree).splitlines(), "---", f"{CONVERSATION}: callout", *k.finish()]) + "\n"


def figures(text):
    """What a case consists of."""
    lines = text.splitlines()
    steps = [line for line in lines[lines.index("---") + 1:] if not line.startswith((" ", "#", "sync", "sleep", "close", "tally", "config", "signal"))]
    reloads = lines.count("signal a SIGHUP")
    return {"conversations": sum(line.startswith(CONVERSATION) for line in lines), "operations": len(steps),
            "configurations": 1 + reloads, "reloads": reloads}
