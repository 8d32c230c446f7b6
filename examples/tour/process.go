package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// patience is how long a process may take to end when it is asked to.
const patience = 5 * time.Second

// process is a process that the tour started, seen from the tour.
type process struct {
	role  string
	cmd   *exec.Cmd
	stdin io.WriteCloser

	ended chan struct{} // closed when the process ended
	err   error         // how, once ended is closed
}

// start starts this program again in a role, with its standard output at w.
func start(role string, w *os.File) (*process, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{role: role, cmd: exec.Command(path, role), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = w, os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("the %s could not be started: %w", role, err)
	}
	go func() { // ends with the process, which end waits for
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) String() string {
	return fmt.Sprintf("the %s (process %d)", p.role, p.cmd.Process.Pid)
}

// end asks the process to end, kills it if it does not, and returns once it is gone. The error says
// that the process ended before it was asked to, or with another status than 0.
func (p *process) end() error {
	early := false
	select {
	case <-p.ended:
		early = true
	default:
	}
	p.stdin.Close()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("%v did not end within %v and was killed", p, patience)
	}
	switch {
	case p.err != nil:
		return fmt.Errorf("%v died: %w", p, p.err)
	case early:
		return fmt.Errorf("%v ended too early", p)
	}
	return nil
}

// report is what a process tells the tour, on a line of its standard output.
type report struct{ Role, Answer, Failure string }

// mark begins a line that is a report; all other lines are for people.
const mark = "\x1e"

func (r report) String() string {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings can always be marshalled
	}
	return mark + string(b) + "\n"
}

// read copies what the processes print to w, until all have ended, and passes their reports on.
func read(r io.Reader, w io.Writer, reports chan<- report) (err error) {
	for lines := bufio.NewReader(r); ; {
		line, end := lines.ReadString('\n')
		if text, ok := strings.CutPrefix(line, mark); ok {
			var rep report
			if err := json.Unmarshal([]byte(text), &rep); err != nil {
				rep.Failure = "an unreadable report: " + err.Error()
			}
			reports <- rep
		} else if err == nil {
			_, err = io.WriteString(w, line)
		}
		if end == io.EOF {
			return err
		}
		if end != nil {
			return errors.Join(err, end)
		}
	}
}
