package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/user"
	"strings"
	"time"

	"gormi/registry"
	"gormi/rmi"
)

const help = `commands:
  /join ROOM   leave this room and enter that one
  /leave       leave the room
  /who         who is in the room
  /rooms       the rooms
  /help        this list
  /quit        end; Ctrl-C and the end of the input do the same
everything else is said to the room; //text says /text`

// client is the client role. Its fields belong to the goroutine that runs it.
type client struct {
	node    *rmi.Node
	at      registry.URL
	view    *view
	name    string
	derived bool // the name was not chosen by the user: another will do

	here *place // nil: in no room
}

// place is where the client is.
type place struct {
	room string
	seat Seat
	ear  *ear
	lost <-chan struct{} // closed when the server is gone
}

func newClient(at registry.URL, v *view, name string) (*client, error) {
	c := &client{at: at, view: v, name: name}
	if name == "" {
		c.name, c.derived = userName(), true
	} else if !validName(name) {
		return nil, fmt.Errorf("-name %q: %w", name, errBadName)
	}
	// Calls report what is worth knowing; a log would come between the lines.
	c.node = rmi.NewNode(&rmi.Options{SessionLease: patienceForLost, Logger: slog.New(slog.DiscardHandler)})
	return c, nil
}

// userName is the login name, or "guest" if that is no valid name.
func userName() string {
	u, err := user.Current()
	if err != nil {
		return "guest"
	}
	n := u.Username[strings.LastIndexByte(u.Username, '\\')+1:] // DOMAIN\name
	if !validName(n) {
		return "guest"
	}
	return n
}

// run obeys the user until ctx or the input ends, and leaves. Its error is that of the first join.
func (c *client) run(ctx context.Context, lines <-chan string, room string) error {
	defer c.view.end()
	if err := c.join(ctx, room); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	c.view.print("* /help lists the commands")
	for {
		line, ok := c.next(ctx, lines)
		if !ok {
			return nil
		}
		c.view.entered()
		if !c.obey(ctx, line) {
			return nil
		}
	}
}

// next returns the next line. ok is false when ctx or the input has ended. It shows a prompt,
// unless the line was typed ahead: such a line has its row without a prompt.
func (c *client) next(ctx context.Context, lines <-chan string) (line string, ok bool) {
	select {
	case line, ok = <-lines:
		return line, ok
	default:
	}
	c.view.ask(c.prompt())
	for {
		var lost <-chan struct{}
		if c.here != nil {
			lost = c.here.lost
		}
		select {
		case line, ok = <-lines:
			return line, ok
		case <-lost:
			c.here.ear.close()
			c.here = nil
			c.view.print("* the connection to the server is lost; /join ROOM tries again")
		case <-ctx.Done():
			return "", false
		}
	}
}

// close leaves the room, as far as that is possible.
func (c *client) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	c.leave(ctx)
	c.node.Close()
}

func (c *client) prompt() string {
	if c.here == nil {
		return "> "
	}
	return c.name + "> "
}

// obey executes a line and reports whether there may be more.
func (c *client) obey(ctx context.Context, line string) bool {
	line = strings.TrimSpace(line)
	if line == "" {
		return true
	}
	command, arg, _ := strings.Cut(line, " ")
	arg = strings.TrimSpace(arg)
	var err error
	switch {
	case command == "/quit":
		return false
	case command == "/help":
		for l := range strings.SplitSeq(help, "\n") {
			c.view.print("%s", l)
		}
	case command == "/join":
		err = c.join(ctx, arg)
	case command == "/rooms":
		err = c.rooms(ctx)
	case strings.HasPrefix(line, "/") && !strings.HasPrefix(line, "//") && command != "/leave" && command != "/who":
		c.view.print("* there is no command %s; /help lists them", command)
	case c.here == nil:
		c.view.print("* you are in no room: /join ROOM, /rooms lists them")
	case command == "/leave":
		room := c.here.room
		if err = c.leave(ctx); err == nil {
			c.view.print("* you left %s", room)
		}
	case command == "/who":
		var names []string
		if names, err = c.here.seat.Who(ctx); err == nil {
			c.view.print("* in %s: %s", c.here.room, strings.Join(names, ", "))
		}
	default:
		if strings.HasPrefix(line, "//") {
			line = line[1:]
		}
		err = c.here.seat.Say(ctx, line)
	}
	if err != nil && ctx.Err() == nil {
		c.view.print("* %v", reason(err))
	}
	if errors.Is(err, errNotHere) { // the server could not reach us for a while, and dropped us
		c.here.ear.close()
		c.here = nil
	}
	return true
}

// reason returns an error's text for people. For the chat's own errors it leaves out where they
// came from.
func reason(err error) error {
	for _, own := range []error{errNameTaken, errBadName, errFull, errNotHere, errTooLong} {
		if errors.Is(err, own) {
			return own
		}
	}
	return err
}

// join enters a room and leaves the one before. If it fails, the client stays where it is.
func (c *client) join(ctx context.Context, room string) error {
	if !validName(room) {
		return fmt.Errorf("/join ROOM: %w", errBadName)
	}
	if c.here != nil && c.here.room == room {
		c.view.print("* you are in %s already", room)
		return nil
	}
	chat, err := find(ctx, c.node, c.at) // anew each time: the server may have been restarted
	if err != nil {
		return err
	}
	name := c.name
	ear := newEar(c.view, name)
	seated, err := chat.Join(ctx, room, name, ear)
	for i := 2; c.derived && i < 100 && errors.Is(err, errNameTaken); i++ {
		ear.close()
		name = fmt.Sprintf("%.28s%d", c.name, i)
		ear = newEar(c.view, name)
		seated, err = chat.Join(ctx, room, name, ear)
	}
	if err != nil {
		ear.close()
		return fmt.Errorf("%s cannot enter %s: %w", name, room, err)
	}
	lost, err := rmi.Gone(seated.Seat)
	if err != nil {
		ear.close()
		return err
	}
	if err := c.leave(ctx); err != nil {
		c.view.print("* %v", reason(err))
	}
	c.name = name
	c.here = &place{room: room, seat: seated.Seat, ear: ear, lost: lost}

	for _, l := range seated.History {
		c.view.print("%s %s: %s", l.Time.Local().Format("15:04"), l.From, l.Text)
	}
	others := "nobody else is there"
	if len(seated.Others) > 0 {
		others = "with " + strings.Join(seated.Others, ", ")
	}
	c.view.print("* you are %s in %s, %s", name, room, others)
	ear.open() // what was said since comes behind the history
	return nil
}

func (c *client) leave(ctx context.Context) error {
	if c.here == nil {
		return nil
	}
	p := c.here
	c.here = nil
	p.ear.close()
	return p.seat.Leave(ctx)
}

func (c *client) rooms(ctx context.Context) error {
	chat, err := find(ctx, c.node, c.at)
	if err != nil {
		return err
	}
	rooms, err := chat.Rooms(ctx)
	if err != nil {
		return err
	}
	for _, r := range rooms {
		c.view.print("* %s: %d", r.Name, r.Members)
	}
	return nil
}
