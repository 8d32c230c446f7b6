package main

import (
	"fmt"
	"io"
	"time"

	"gormi/callback"
)

// lines is the view for files and pipes: a line for each event, in the order they came.
type lines struct{ w io.Writer }

func (l lines) show(ev callback.Event[Quote]) error {
	const clock = "15:04:05.000"
	q, what := ev.Value, "quote"
	switch ev.Kind {
	case callback.KindGap:
		_, err := fmt.Fprintf(l.w, "%s gap   %s\n", time.Now().Format(clock), gapText(ev))
		return err
	case callback.KindState:
		what = "state"
	}
	_, err := fmt.Fprintf(l.w, "%s %s #%-8d %-6s %9v %+7.2f%%\n", q.At.Local().Format(clock), what, ev.Seq, q.Symbol, q.Price, q.Percent())
	return err
}

func (lines) close() error { return nil }

// gapText says what a gap means.
func gapText(ev callback.Event[Quote]) string {
	text := "quotes are missing here, how many is not known"
	if ev.Missed == 1 {
		text = "1 quote is missing here"
	} else if ev.Missed > 1 {
		text = fmt.Sprintf("%d quotes are missing here", ev.Missed)
	}
	if !ev.Restarted {
		return text
	}
	if ev.Missed == 0 {
		return "the server restarted; all prices follow anew"
	}
	return "the server restarted; " + text + "; all prices follow anew"
}
