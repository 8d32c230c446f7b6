package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// child is a process that the tour started. It reads commands from standard input, one a line. It
// writes its output to standard output, which all processes of the tour share: the order of the
// lines is that of the events. The end of standard input asks it to end. That comes even when the
// tour's process is killed.
type child struct {
	role string
	ctx  context.Context // ends with standard input

	lines <-chan string // commands
}

// commands are what a child can be told to do. Each takes an argument and returns an answer.
type commands map[string]func(ctx context.Context, arg string) (answer string, err error)

// beChild is the main function of the roles.
func beChild(role string, run func(*child) error) error {
	// Ctrl-C goes to all processes in the foreground. The tour's process acts on it and ends the
	// others.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)

	ctx, cancel := context.WithCancel(context.Background())
	lines := make(chan string)
	go func() { // ends with standard input
		defer cancel()
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			lines <- s.Text()
		}
	}()
	if err := run(&child{role, ctx, lines}); err != nil {
		return fmt.Errorf("the %s (process %d): %w", role, os.Getpid(), err)
	}
	return nil
}

// obey carries out commands until standard input ends.
func (c *child) obey(do commands) {
	for {
		select {
		case line := <-c.lines:
			command, arg, _ := strings.Cut(line, " ")
			c.report(c.carryOut(do, command, arg))
		case <-c.ctx.Done():
			return
		}
	}
}

func (c *child) carryOut(do commands, command, arg string) (string, error) {
	f := do[command]
	if f == nil {
		return "", fmt.Errorf("the %s has no command %q", c.role, command)
	}
	ctx, cancel := context.WithTimeoutCause(c.ctx, stepLimit, fmt.Errorf("%q took more than %v", command, stepLimit))
	defer cancel()
	return f(ctx, arg)
}

// say prints lines with the role and the process id in front.
func (c *child) say(format string, a ...any) { say(os.Stdout, c.role, format, a...) }

// report tells the tour that a command is done.
func (c *child) report(answer string, err error) {
	r := report{Role: c.role, Answer: answer}
	if err != nil {
		r.Failure = err.Error()
	}
	io.WriteString(os.Stdout, r.String())
}

// say writes lines at once, so that lines of other processes do not come between.
func say(w io.Writer, role, format string, a ...any) {
	var b strings.Builder
	for line := range strings.SplitSeq(fmt.Sprintf(format, a...), "\n") {
		fmt.Fprintf(&b, "%-8s %7d | %s\n", role, os.Getpid(), strings.TrimRight(line, " \t"))
	}
	io.WriteString(w, b.String())
}
