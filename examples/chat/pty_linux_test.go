package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"gormi/rmi/rmitest/proctest"
)

// terminal is a pseudo-terminal with a chat at its other end.
type terminal struct {
	*exec.Cmd
	t      *testing.T
	ctx    context.Context
	master *os.File
	output chan []byte // closed when the program has ended
	screen *screen
}

const ptyRows, ptyColumns = 12, 40

// openPTY returns both ends of a new pseudo-terminal.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("there are no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { master.Close() })
	ioctl := func(request uintptr, arg unsafe.Pointer) {
		t.Helper()
		c, err := master.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var errno syscall.Errno
		if err := c.Control(func(fd uintptr) {
			_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(arg))
		}); err != nil || errno != 0 {
			t.Fatal(err, errno)
		}
	}
	var locked, number int32
	ioctl(syscall.TIOCSPTLCK, unsafe.Pointer(&locked))
	ioctl(syscall.TIOCGPTN, unsafe.Pointer(&number))
	ioctl(syscall.TIOCSWINSZ, unsafe.Pointer(&[4]uint16{ptyRows, ptyColumns}))
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(int(number)), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("the pseudo-terminal cannot be opened: ", err)
	}
	return master, slave
}

func startOnTerminal(ctx context.Context, t *testing.T, args ...string) *terminal {
	t.Helper()
	master, slave := openPTY(t)
	defer slave.Close()
	tt := &terminal{Cmd: command(ctx, args...), t: t, ctx: ctx, master: master,
		output: make(chan []byte), screen: newScreen(ptyRows, ptyColumns)}
	tt.Stdin, tt.Stdout, tt.Stderr = slave, slave, slave
	tt.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := tt.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		tt.Process.Kill()
		tt.Wait()
	})
	go func() { // ends with the program, whose end the read reports as EIO
		defer close(tt.output)
		for {
			b := make([]byte, 4096)
			n, err := master.Read(b)
			if n > 0 {
				select {
				case tt.output <- b[:n]:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return tt
}

// keys presses keys.
func (tt *terminal) keys(s string) {
	tt.t.Helper()
	if _, err := tt.master.WriteString(s); err != nil {
		tt.t.Fatal(err)
	}
}

// shows waits until the screen ends with these lines, which are patterns, with the cursor behind
// the last.
func (tt *terminal) shows(want ...string) {
	tt.t.Helper()
	for {
		got := tt.screen.lines()
		if len(got) >= len(want) && slices.EqualFunc(got[len(got)-len(want):], want, func(line, pattern string) bool {
			return regexp.MustCompile("^" + pattern + "$").MatchString(line)
		}) {
			// A prompt ends with a space, which lines drops.
			if last := got[len(got)-1]; tt.screen.x == len([]rune(last)) || strings.HasSuffix(last, ">") {
				return
			}
		}
		if err := tt.more(); err != nil {
			tt.t.Fatalf("%v; the screen is\n%s\ncursor in column %d; want the end\n%s", err,
				strings.Join(got, "\n"), tt.screen.x, strings.Join(want, "\n"))
		}
	}
}

var errEnded = errors.New("the program ended")

// more takes what the program writes next.
func (tt *terminal) more() error {
	select {
	case b, ok := <-tt.output:
		if !ok {
			return errEnded
		}
		_, err := tt.screen.Write(b)
		return err
	case <-tt.ctx.Done():
		return tt.ctx.Err()
	}
}

// ends waits for the end, which must be in good order, with the cursor in a row of its own.
func (tt *terminal) ends() {
	tt.t.Helper()
	var err error
	for err == nil {
		err = tt.more()
	}
	if !errors.Is(err, errEnded) {
		tt.t.Fatal(err)
	}
	if got := proctest.Status(tt.t, tt.Wait()); got != 0 {
		tt.t.Errorf("status %d, want 0; the screen is\n%s", got, strings.Join(tt.screen.lines(), "\n"))
	}
	if tt.screen.x != 0 {
		tt.t.Errorf("the cursor was left in column %d of\n%s", tt.screen.x, strings.Join(tt.screen.lines(), "\n"))
	}
}

// TestTerminals: two people talk, both with a line half typed when the other's arrives.
func TestTerminals(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	at := nobody(t)
	ada := startOnTerminal(ctx, t, "-registry", at, "-name", "ada")
	ada.shows(`\* you are ada in lobby, nobody else is`, "there", `\* /help lists the commands`, "ada>")
	bob := startOnTerminal(ctx, t, "-registry", at, "-name", "bob")
	bob.shows(`\* you are bob in lobby, with ada`, `\* /help lists the commands`, "bob>")
	ada.shows(`\* bob came in`, "ada>")

	ada.keys("hello, b")
	ada.shows("ada> hello, b")
	bob.keys("I am")
	bob.shows("bob> I am")
	ada.keys("ob\n")
	ada.shows(`\* bob came in`, "ada> hello, bob", "ada>")
	bob.shows("ada: hello, bob", "bob> I am")
	ada.keys("who are yu\x7f") // backspace
	ada.shows("ada> who are y")
	bob.keys(" here\n")
	bob.shows("ada: hello, bob", "bob> I am here", "bob>")
	ada.shows("ada> hello, bob", "bob: I am here", "ada> who are y")
	ada.keys("ou?\n")
	ada.shows("ada> who are you\\?", "ada>")
	bob.shows("ada: who are you\\?", "bob>")

	// Down to the bottom of the screen, and beyond, with lines that are too wide.
	bob.keys("half")
	bob.shows("bob> half")
	for i := range ptyRows {
		n := strconv.Itoa(i)
		ada.keys("line " + n + ", and it is 46 columns or more wide .\n")
		bob.shows("ada: line "+n+", and it is 46 columns or", "more wide \\.", "bob> half")
		ada.shows("ada> line "+n+", .*", ".*", "ada>") // before that, what is typed would be typed ahead
	}
	bob.keys(" a line\n")
	bob.shows("bob> half a line", "bob>")
	bob.keys("/who\n")
	bob.shows("bob> half a line", "bob> /who", `\* in lobby: ada, bob`, "bob>")
	ada.shows("bob: half a line", "ada>")

	// bob's server was started by ada, who presses Ctrl-C; bob's input ends by Ctrl-D.
	ada.keys("never sent\x03")
	ada.ends()
	bob.shows(`\* ada left`, "bob>")
	served := session(ctx, t, at)
	bob.keys("\x04")
	bob.ends()
	select {
	case <-served:
	case <-ctx.Done():
		t.Error("the server did not end with the last one")
	}
}
