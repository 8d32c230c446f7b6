package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"gormi/registry"
)

// patience is how long a background server may take to start, and to say whether it ends.
const patience = 20 * time.Second

// background is a server that this process started.
type background struct {
	cmd   *exec.Cmd
	stdin io.Closer
	lines chan string // what it prints; closed when it ended, or cut its output off
}

// startServer starts this program again as a server. It returns when the server is ready.
func startServer(ctx context.Context, at registry.URL) (*background, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	in, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stdout, out, err := os.Pipe()
	if err != nil {
		in.Close()
		stdin.Close()
		return nil, err
	}
	b := &background{
		cmd:   exec.Command(path, "-role", "server", "-background", "-registry", registry.URL{Endpoint: at.Endpoint}.String()),
		stdin: stdin,
		lines: make(chan string, 16),
	}
	b.cmd.Stdin, b.cmd.Stdout, b.cmd.Stderr = in, out, out
	err = b.cmd.Start()
	in.Close()
	out.Close() // the server's end: else its end would not be seen
	if err != nil {
		stdin.Close()
		stdout.Close()
		return nil, fmt.Errorf("the server could not be started: %w", err)
	}
	go func() { // ends with the server's output, or the process
		defer close(b.lines)
		defer stdout.Close()
		for s := bufio.NewScanner(stdout); s.Scan(); {
			select {
			case b.lines <- s.Text():
			default: // nobody reads that much
			}
		}
	}()
	var said []string
	late := time.After(patience)
	for {
		select {
		case line, ok := <-b.lines:
			if line == ready {
				return b, nil
			}
			if !ok {
				b.cmd.Wait()
				return nil, errors.New("the server did not start: " + strings.TrimPrefix(strings.Join(said, "; "), "chat: "))
			}
			said = append(said, line)
		case <-ctx.Done():
			b.stdin.Close() // it ends as soon as it is ready
			return nil, ctx.Err()
		case <-late:
			b.cmd.Process.Kill()
			b.cmd.Wait()
			return nil, fmt.Errorf("the server did not start within %v", patience)
		}
	}
}

// end allows the server to end, and reports whether it did. It stays while others are in the rooms.
func (b *background) end() (ended bool) {
	b.stdin.Close()
	late := time.After(patience)
	for {
		select {
		case line, ok := <-b.lines:
			if line == stays {
				return false
			}
			if !ok {
				b.cmd.Wait()
				return true
			}
		case <-late:
			return false
		}
	}
}
