package streams

import (
	"fmt"
	"strings"
)

// maxRemarks is how many of yamux' log lines a lane passes on. Behind the
// filter it has little to say.
const maxRemarks = 64

// remarks is yamux' logger. yamux logs with its locks held, so lines are queued
// here and logged by a goroutine that lives while there are any.
type remarks struct {
	lane *Lane

	// Guarded by lane.mu.
	queue   []string
	taken   int // lines queued so far
	logging bool
}

func (r *remarks) Print(v ...any)                 { r.add(fmt.Sprint(v...)) }
func (r *remarks) Println(v ...any)               { r.add(fmt.Sprintln(v...)) }
func (r *remarks) Printf(format string, v ...any) { r.add(fmt.Sprintf(format, v...)) }

func (r *remarks) add(line string) {
	l := r.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.taken == maxRemarks || l.err != nil {
		return
	}
	r.taken++
	r.queue = append(r.queue, strings.TrimSpace(line))
	if !r.logging {
		r.logging = true
		l.wg.Go(r.log)
	}
}

func (r *remarks) log() {
	l := r.lane
	for {
		l.mu.Lock()
		lines := r.queue
		r.queue = nil
		r.logging = len(lines) > 0
		l.mu.Unlock()
		if len(lines) == 0 {
			return
		}
		for _, line := range lines {
			l.c.Logger.Warn("stream lane", "yamux", line)
		}
	}
}
