package main

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"gormi/callback"
)

// Control sequences, of ECMA-48 and DEC's terminals.
const (
	bold, red, green, plain = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[m"

	enter = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J" // another screen, no cursor, cut long lines off
	leave = "\x1b[?7h\x1b[?25h\x1b[?1049l"        // as it was
	begin = "\x1b[?2026h"                         // a frame: terminals that know this
	end   = "\x1b[J\x1b[?2026l"                   // show it when it is complete
	every = 100 * time.Millisecond                // between frames
)

// inPlace is the view for terminals: it paints a board again and again.
type inPlace struct {
	*board
	w       io.Writer
	stop    chan struct{}
	stopped chan error // gets the first error of a write, or nil
}

// showInPlace takes over the terminal until the view is closed.
func showInPlace(b *board, w io.Writer) *inPlace {
	p := &inPlace{b, w, make(chan struct{}), make(chan error, 1)}
	go func() { p.stopped <- p.paint() }() // ends with close
	return p
}

func (p *inPlace) show(ev callback.Event[Quote]) error {
	p.add(ev, time.Now())
	return nil
}

func (p *inPlace) paint() error {
	if _, err := io.WriteString(p.w, enter); err != nil {
		return err
	}
	clock := time.NewTicker(every)
	defer clock.Stop()
	for {
		if _, err := p.w.Write(frame(p.lines(time.Now()))); err != nil {
			return err
		}
		select {
		case <-clock.C:
		case <-p.stop:
			_, err := io.WriteString(p.w, leave)
			return err
		}
	}
}

// close gives the terminal back, with the last state of the stream on it.
func (p *inPlace) close() error {
	close(p.stop)
	if err := <-p.stopped; err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heard.IsZero() {
		return nil
	}
	_, err := fmt.Fprintf(p.w, "%s, %s\n", count(p.events, "quote"), p.sum())
	return err
}

// frame paints lines from the top of the screen on. Each begins with its position. So on a screen
// with fewer rows than lines the last ones are painted over each other, and nothing scrolls.
func frame(lines []string) []byte {
	var b bytes.Buffer
	b.WriteString(begin)
	for i, line := range lines {
		fmt.Fprintf(&b, "\x1b[%d;1H%s\x1b[K", i+1, line)
	}
	b.WriteString(end)
	return b.Bytes()
}
