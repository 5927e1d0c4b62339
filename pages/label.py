"""Label: the labelling desk, one end of a unit at a time, by the keyboard alone."""

import streamlit as st

from pages._ui import desk_choose, desk_frame, desk_queue, desk_view, labels, resources, states
from pages._ui.words import plain


def main() -> None:
    st.title("Label")
    opened = resources.current()
    labels.listen()
    chosen = desk_view.read(opened.store)
    me = labels.annotator()
    if me is None:
        labels.choose()
        st.caption("Labels are kept with the name of who gave them, so that people can be compared and asked.")
        return
    desk_choose.draw(opened, chosen)
    with states.calm():
        work = desk_queue.work(opened, chosen.view, me)
        if work.refused:
            states.problem(desk_queue.refused(work.refused))
        if not work.items:
            states.empty("This queue is empty", work.advice)
            return
        if sentence := desk_frame.place(opened, chosen, work):
            st.info(plain(sentence, 400), icon="🔗")
        desk_frame.draw(opened, chosen, work, me)
