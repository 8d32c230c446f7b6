package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"gormi/rmi/rmitest/proctest"
)

// openTerminal returns both sides of a pseudo-terminal: the user's, and the program's.
func openTerminal(t *testing.T) (user, program *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there are no pseudo-terminals: ", err)
	}
	t.Cleanup(func() { user.Close() })
	control := func(request uintptr, value *int32) {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, user.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(os.NewSyscallError("ioctl", errno))
		}
	}
	var locked, number int32
	control(syscall.TIOCSPTLCK, &locked)
	control(syscall.TIOCGPTN, &number)
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return user, program
}

// With no flags on a terminal, the program paints in place until Ctrl-C is typed, and gives the
// terminal back.
func TestAViewInPlaceOnATerminal(t *testing.T) {
	user, terminal := openTerminal(t)
	cmd := command(t, "-rate", "100", "-match", "A*")
	cmd.Env = append(cmd.Env, "TERM=xterm")
	var stderr strings.Builder // read when the program has ended
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// This side stays open, as a shell's does. On Ctrl-C the kernel flushes what the terminal
	// holds. If its last user closes it in that moment, the user's side ends before what was
	// written since is read.
	defer terminal.Close()
	over := []byte{0} // which the program does not write
	ended := make(chan error, 1)
	go func() { // ends with the program
		ended <- cmd.Wait()
		terminal.Write(over)
	}()

	screen := newScreen(24)
	read := func() bool { // false: the program ended, and all that it wrote was read
		buf := make([]byte, 4096)
		n, err := user.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		text, _, end := bytes.Cut(buf[:n], over)
		screen.Write(text)
		return !end
	}
	rows := regexp.MustCompile(`(?m)^(ACME|AJAX|APEX|ATOM) +\d+\.\d\d +(-?\d+\.\d\d) [▲▼ ] *[+-]\d+\.\d\d%  [▁▂▃▄▅▆▇█]+$`)
	pictures := make(map[string]bool)
	for len(pictures) < 5 {
		if !read() {
			t.Fatalf("it ended: %v\n%s%s", <-ended, stderr.String(), screen)
		}
		shown := screen.String()
		if m := rows.FindAllString(shown, -1); !screen.modes["2026"] && len(m) == 4 && strings.Contains(shown, "Ctrl-C ends") {
			pictures[strings.Join(m, "\n")] = true
		}
	}
	shown := screen.String()
	for _, want := range []string{quotes + "  A*\n", "  live\nno gaps\n\nSYMBOL ", "\nmore: go run ./examples/ticker -role client -registry rmi://127.0.0.1:"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the screen lacks %q:\n%s", want, shown)
		}
	}
	if n := strings.Count(shown, "ACME"); n != 1 {
		t.Errorf("ACME is on the screen %d times:\n%s", n, shown)
	}
	if !screen.modes["1049"] || screen.modes["25"] || screen.modes["7"] {
		t.Errorf("while it paints, the terminal's modes are %v", screen.modes)
	}

	if _, err := user.Write([]byte{'c' & 0x1f}); err != nil { // Ctrl-C, which the terminal makes a signal
		t.Fatal(err)
	}
	for read() {
	}
	if status := proctest.Status(t, <-ended); status != 0 || stderr.String() != "" {
		t.Errorf("after Ctrl-C: status %d\n%s", status, stderr.String())
	}
	if screen.modes["1049"] || !screen.modes["25"] || !screen.modes["7"] {
		t.Errorf("after it ended, the terminal's modes are %v", screen.modes)
	}
	if !strings.Contains(screen.String(), " quotes, 0 gaps (0 quotes missed, 0 restarts of the server)") {
		t.Errorf("after it ended, the screen is\n%s", screen)
	}
}
