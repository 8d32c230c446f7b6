package streams

import (
	"fmt"
	"strings"
)

// maxRemarks is how many of yamux' log lines a lane passes on. Behind the filter, yamux has
// little to say.
const maxRemarks = 64

// logger is yamux' logger. yamux logs with its locks held. So lines are queued, and logged by a
// goroutine that lives while there are any.
type logger struct{ lane *Lane }

// remarks are the lines that wait to be logged. They are part of the lane's state.
type remarks struct {
	queue   []string
	taken   int // lines queued so far
	logging bool
}

func (g logger) Print(v ...any)                 { g.add(fmt.Sprint(v...)) }
func (g logger) Println(v ...any)               { g.add(fmt.Sprintln(v...)) }
func (g logger) Printf(format string, v ...any) { g.add(fmt.Sprintf(format, v...)) }

func (g logger) add(line string) {
	l := g.lane
	s := l.lock()
	defer l.mu.Unlock()
	r := &s.remarks
	if r.taken == maxRemarks || s.err != nil {
		return
	}
	r.taken++
	r.queue = append(r.queue, strings.TrimSpace(line))
	if !r.logging {
		r.logging = true
		l.wg.Go(g.log)
	}
}

func (g logger) log() {
	for {
		s := g.lane.lock()
		lines := s.remarks.queue
		s.remarks.queue = nil
		s.remarks.logging = len(lines) > 0
		g.lane.mu.Unlock()
		if len(lines) == 0 {
			return
		}
		for _, line := range lines {
			g.lane.c.Logger.Warn("stream lane", "yamux", line)
		}
	}
}
