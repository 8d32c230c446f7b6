package rmi

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"gormi/rmi/fault"
)

// A program that is killed leaves its unix socket behind, and nobody can listen at its path until
// it is removed. So Listen removes it, but only if it is a socket that nobody listens on. Anything
// else at the path belongs to somebody.

// listenUnix goes on after an attempt to listen at a path, which returned l and err.
func listenUnix(ctx context.Context, path string, l net.Listener, err error) (net.Listener, error) {
	if errors.Is(err, syscall.EADDRINUSE) {
		at, bad := os.Lstat(path)
		switch {
		case bad != nil: // gone meanwhile
		case at.Mode().Type() != fs.ModeSocket:
			return nil, fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted,
				"cannot listen on %s: there is %s already, and no socket; choose another path: %w", path, what(at.Mode()), err)
		case !abandoned(ctx, path, at) || !replace(path, at):
			return nil, err
		}
		l, err = new(net.ListenConfig).Listen(ctx, "unix", path)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	at, err := os.Lstat(path)
	if err != nil {
		l.Close()
		return nil, err
	}
	if ul, ok := l.(*net.UnixListener); ok {
		ul.SetUnlinkOnClose(false)
		return &unixListener{UnixListener: ul, path: path, at: at}, nil
	}
	return l, nil
}

// what says what a path leads to, in words.
func what(m fs.FileMode) string {
	switch m.Type() {
	case 0:
		return "a file"
	case fs.ModeDir:
		return "a folder"
	case fs.ModeSymlink:
		return "a link"
	}
	return "something"
}

// abandoned reports whether nobody listens on the unix socket at a path. at is what Lstat said of
// it. A program that is about to listen refuses connections for a moment, so abandoned asks twice.
func abandoned(ctx context.Context, path string, at fs.FileInfo) bool {
	for first := true; ; first = false {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			conn.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return false
		}
		if !first {
			return true
		}
		time.Sleep(100 * time.Millisecond)
		if now, err := os.Lstat(path); err != nil || !same(now, at) {
			return false
		}
	}
}

// replace removes the abandoned socket at a path. at is what Lstat said of it. Two programs that
// start concurrently both find it. The second must not remove what the first put in its place. So
// replace moves the socket away first, and moves it back if it turns out to be another.
func replace(path string, at fs.FileInfo) bool {
	aside := path + "." + strconv.FormatUint(uint64(rand.Uint32()), 36)
	if os.Rename(path, aside) != nil {
		return false
	}
	if now, err := os.Lstat(aside); err != nil || !same(now, at) {
		_ = os.Link(aside, path) // unless there is another one already
		_ = os.Remove(aside)
		return false
	}
	return os.Remove(aside) == nil
}

// same reports whether two looks at a path saw one socket. Inode numbers are reused at once, times
// are not.
func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Mode().Type() == b.Mode().Type()
}

// unixListener removes its socket when it is closed, if that is still its own.
type unixListener struct {
	*net.UnixListener
	path string
	at   fs.FileInfo
}

// Close implements net.Listener.
func (l *unixListener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && same(now, l.at) {
		_ = os.Remove(l.path)
	}
	return l.UnixListener.Close()
}
