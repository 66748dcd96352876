import gc
import weakref

from tracer.engine.last_opened import LastOpened


class Thing:
    pass


def test_the_same_key_is_made_once_and_another_one_replaces_it():
    last, made = LastOpened(), []

    def make():
        gc.collect()
        assert not any(ref() for ref in made), "the old one is let go of first"
        thing = Thing()
        made.append(weakref.ref(thing))
        return thing

    first = last.get("a", make)
    assert last.get("a", make) is first
    del first
    last.get("b", make)
    last.get("a", make)
    assert len(made) == 3
