// Command chat is a chat with rooms. Whoever is in a room hears what is said there: the client
// passes the server an object of its own, a Listener, and the server calls it.
//
//	go run ./examples/chat                    # a client, and what it needs
//	go run ./examples/chat                    # in another terminal: one more client
//	go run ./examples/chat -role server       # the server alone
//	go run ./examples/chat -role client -registry rmi://HOST:PORT -name Ada -room tea
//
// Without -role it looks for a chat in the registry. If there is none, it starts a server in the
// background, which serves a registry too if none answers. The server ends when its starter and all
// others have left.
//
// Where to look: chat.go has the remote interfaces, hall.go the objects behind them, client.go and
// ear.go the client. The rest is the stage: server.go binds, background.go starts a server, view.go
// and terminal.go show lines.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"gormi/registry"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("chat: ")
	role := flag.String("role", "all", "`server`, client, or all: a client, and a server in the background if none runs")
	at := flag.String("registry", "", "the registry, `rmi://HOST:PORT` (default $RMI_REGISTRY, else rmi://localhost:1099)")
	name := flag.String("name", "", "what you are called (default your user name, with a number if it is taken)")
	room := flag.String("room", "lobby", "the room to begin in")
	background := flag.Bool("background", false, "of -role server: end when standard input has ended and the rooms are empty")
	flag.Parse()
	if err := run(*role, *at, *name, *room, *background); err != nil {
		log.Fatal(clean(reason(err).Error()))
	}
}

func run(role, at, name, room string, background bool) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("%q is no argument of chat; -h lists the flags", flag.Arg(0))
	}
	u, err := address(at)
	if err != nil {
		return err
	}
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
	if background {
		// Ctrl-C and the end of the terminal reach all processes of that terminal, but others may
		// still be talking. They may also be when the reader of standard output has died, which a
		// write would notice by a signal.
		signal.Ignore(os.Interrupt, syscall.SIGHUP, syscall.SIGPIPE)
		signals = []os.Signal{syscall.SIGTERM}
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()

	switch role {
	case "server":
		s := &server{at: u, out: os.Stdout, stdin: os.Stdin, background: background}
		return s.run(ctx)
	case "client", "all":
		c, err := newClient(u, newView(os.Stdin, os.Stdout), name)
		if err != nil {
			return err
		}
		return c.talk(ctx, os.Stdin, room, role == "all")
	}
	return fmt.Errorf("-role %q: want server, client or all", role)
}

// talk runs a client. With all, it starts a server if there is none.
func (c *client) talk(ctx context.Context, in io.Reader, room string, all bool) error {
	var started *background
	defer func() {
		c.close()
		if started != nil && !started.end() {
			c.view.print("* others are still talking: the server ends when they have left")
		}
	}()
	if all {
		err := c.ensureServer(ctx, &started)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		c.view.print("* from another terminal: %s -role client -registry %s", program(), registry.URL{Endpoint: c.at.Endpoint})
	}
	return c.run(ctx, readLines(in), room)
}

// ensureServer makes sure that there is a server. It may start one several times, because another
// process that does the same may be in the way.
func (c *client) ensureServer(ctx context.Context, started **background) error {
	for try := 1; ; try++ {
		_, err := find(ctx, c.node, c.at)
		if !dead(err) || !c.at.Endpoint.IsLoopback() {
			return err
		}
		if *started, err = startServer(ctx, c.at); err == nil || try == 3 {
			return err
		}
	}
}

// program is the command with which the user started this program.
func program() string {
	if path, err := os.Executable(); err == nil && strings.Contains(filepath.ToSlash(path), "/go-build") {
		return "go run ./examples/chat" // its own path does not last
	}
	return os.Args[0]
}

// maxLine is how much of an input line is taken, in bytes; the server takes less and says so.
const maxLine = 8 << 10

// readLines returns the lines of r. The channel is closed at its end.
func readLines(r io.Reader) <-chan string {
	lines := make(chan string)
	go func() { // ends with the input, or the process
		defer close(lines)
		for b := bufio.NewReaderSize(r, maxLine); ; {
			line, more, err := b.ReadLine()
			if err != nil {
				return
			}
			lines <- strings.ToValidUTF8(string(line), "\ufffd")
			for more && err == nil {
				_, more, err = b.ReadLine()
			}
		}
	}()
	return lines
}
