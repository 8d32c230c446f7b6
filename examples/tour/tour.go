package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// step is one thing that the tour shows.
type step struct {
	title string
	why   string // for people, before it happens
	do    []task
}

// task is a command for a process. In its argument, $registry is the registry's URL.
type task struct{ role, command, arg string }

const name = "$registry/bank/alice"

var steps = []step{
	{
		"Three processes", "A registry, a server and a client. All that they will be told of each other is where the registry is.",
		[]task{{"registry", "serve", ""}, {"server", "listen", ""}, {"client", "hello", ""}},
	},
	{
		"Bind", "The server exports an object and binds it under a name in the registry.",
		[]task{{"server", "bind", name}},
	},
	{
		"Lookup", "The client asks the registry for the name. It has the Go interface, and gets a value of it.",
		[]task{{"client", "lookup", name}},
	},
	{
		"A call", "A method of the proxy runs the object's method, in the server's process.",
		[]task{{"client", "call", ""}},
	},
	{
		"A struct of functions", "The other form of a proxy: as many func fields as the client needs of the interface.",
		[]task{{"client", "funcs", name}},
	},
	{
		"An error", "A registered error is the same error on the other side: errors.Is finds it.",
		[]task{{"client", "fail", ""}},
	},
	{
		"A cancelled call", "The client's context ends the handler's. The handler tells an Observer, an object of the client's.",
		[]task{{"client", "cancel", ""}},
	},
	{
		"A callback", "The client passes a function. The server calls it over the connection that the client opened.",
		[]task{{"client", "watch", ""}},
	},
	{
		"Nested callbacks", "Each call waits for the next one, to and fro over the one connection.",
		[]task{{"client", "nest", ""}},
	},
	{
		"A cut connection", "The connection breaks in the middle of a call. The session goes on over another one, and the call is executed once.",
		[]task{{"client", "cut", ""}},
	},
	{
		"A mismatch", "A client with another idea of the interface is refused, before it calls.",
		[]task{{"client", "mismatch", name}},
	},
}

// tour is a tour that runs.
type tour struct {
	out       *os.File // as the processes' standard output
	processes map[string]*process
	reports   chan report
	url       string // the registry's
}

// order is the order in which the processes start. They end in the reverse order, users first.
var order = []string{"registry", "server", "client"}

// errEnded: a process ended though nobody asked it to. Its process.end tells more.
var errEnded = errors.New("a process ended too early")

// run starts the processes, goes through the steps and ends the processes, whatever happens. It
// calls pause before each step but the first.
func run(ctx context.Context, w io.Writer, pause func(context.Context) error) error {
	r, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	t := &tour{out: out, processes: make(map[string]*process), reports: make(chan report, len(order))}
	printed := make(chan error, 1)
	go func() { printed <- read(r, w, t.reports) }() // ends when nobody can write to out any more

	err = t.walk(ctx, pause)
	if e := t.end(); e != nil && (err == nil || errors.Is(err, errEnded)) {
		err = e
	} else if e != nil {
		err = errors.Join(e, err)
	}
	if err == nil {
		t.say("\nThat was the tour.")
	}
	out.Close()
	return errors.Join(err, <-printed)
}

func (t *tour) say(format string, a ...any) { fmt.Fprintf(t.out, format+"\n", a...) }

// walk starts the processes and goes through the steps.
func (t *tour) walk(ctx context.Context, pause func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, role := range order {
		p, err := start(role, t.out)
		if err != nil {
			return err
		}
		t.processes[role] = p
		go func() { // ends with the process
			<-p.ended
			cancel(errEnded)
		}()
	}
	t.say("A tour of GoRMI, led by process %d.\nIn front of each line stands who prints it: a role and a process id.", os.Getpid())
	for i, s := range steps {
		if i > 0 {
			if err := pause(ctx); err != nil {
				return err
			}
		}
		t.say("\n%d. %s\n   %s", i+1, s.title, s.why)
		for _, task := range s.do {
			if err := t.carryOut(ctx, task); err != nil {
				return fmt.Errorf("step %d, %s: %w", i+1, s.title, err)
			}
		}
	}
	t.say("\nThe end\n   The processes are asked to end, the client first.")
	return nil
}

// carryOut gives a task to a process and waits for its report.
func (t *tour) carryOut(ctx context.Context, k task) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stepLimit, fmt.Errorf("the %s took more than %v", k.role, stepLimit))
	defer cancel()
	line := k.command + " " + strings.ReplaceAll(k.arg, "$registry", t.url) + "\n"
	if _, err := io.WriteString(t.processes[k.role].stdin, line); err != nil {
		return fmt.Errorf("%w: %w", errEnded, err)
	}
	select {
	case r := <-t.reports:
		switch {
		case r.Failure != "":
			return fmt.Errorf("the %s: %s", r.Role, r.Failure)
		case k.command == "serve":
			t.url = r.Answer
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// end ends the processes and returns all that went wrong.
func (t *tour) end() error {
	var errs []error
	for _, role := range slices.Backward(order) {
		if p := t.processes[role]; p != nil {
			errs = append(errs, p.end())
		}
	}
	return errors.Join(errs...)
}
