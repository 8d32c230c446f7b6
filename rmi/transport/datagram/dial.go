package datagram

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// Dial makes a connection over a socket that has one peer, such as net.Dial returns for "udp".
// It owns the socket from then on, and closes it if it fails. It tries until the peer answers
// or ctx ends.
func Dial(ctx context.Context, socket net.Conn) (*Conn, error) {
	var random [idSize]byte
	rand.Read(random[:])
	id := connID(binary.BigEndian.Uint64(random[:]))
	trip, err := introduce(ctx, socket, id)
	if err != nil {
		socket.Close()
		return nil, &net.OpError{Op: "dial", Net: "udp", Addr: socket.RemoteAddr(), Err: err}
	}
	over := make(chan struct{})
	c := newConn(id, true, socket.LocalAddr(), socket.RemoteAddr(), func(b []byte) error {
		_, err := socket.Write(b)
		return err
	}, func() {
		socket.Close()
		<-over
	})
	c.lock().trip.measure(trip)
	c.mu.Unlock()
	go func() { // ends when release closes the socket
		defer close(over)
		c.serve(socket)
	}()
	return c, nil
}

// mostPause is the longest time that the dialler waits for an answer before it asks again. It
// asks at least ten times before it, or the listener's session, gives up.
const mostPause = time.Second

// introduce asks until the listener sends OPEN, and returns how long an answer took.
func introduce(ctx context.Context, socket net.Conn, id connID) (time.Duration, error) {
	stop := context.AfterFunc(ctx, func() { _ = socket.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var cookie []byte
	b := make([]byte, MaxDatagram+1)
	var trip time.Duration
	var estimate roundTrip
	for try := 0; ; try++ {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		sent := time.Now()
		until := sent.Add(jitter(min(estimate.timeout(try), mostPause)))
		_ = socket.SetReadDeadline(until)
		if ctx.Err() != nil { // its function may have set the deadline already
			continue
		}
		if _, err := socket.Write(appendInit(nil, id, cookie)); err != nil && !errors.Is(err, syscall.ENOBUFS) {
			return 0, told(err)
		}
		for again := false; !again; {
			n, err := socket.Read(b)
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
				again = true
				continue
			case err != nil: // perhaps the peer's system says that the port is closed
				return 0, told(err)
			}
			got, ok := idOf(b[:n])
			if !ok || got != id {
				continue
			}
			switch b[0] {
			case typeCookie:
				if fresh := b[cookieAt : cookieAt+cookieSize]; !bytes.Equal(cookie, fresh) {
					cookie = bytes.Clone(fresh)
					trip = time.Since(sent)
					estimate.measure(trip)
					try, again = -1, true
				}
			case typeReset:
				return 0, syscall.ECONNREFUSED
			case typeOpen:
				if cookie == nil { // no INIT with a cookie was sent, so it answers nothing
					continue
				}
				_ = socket.SetReadDeadline(time.Time{})
				if !stop() { // ctx ended, and its function may still set the deadline
					return 0, ctx.Err()
				}
				return trip, nil
			}
		}
	}
}

// windowsReset is WSAECONNRESET. Windows returns it for a datagram that was sent, where others
// return ECONNREFUSED.
const windowsReset = syscall.Errno(10054)

// refused reports whether an error of the socket says that the peer's port is closed.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, windowsReset)
}

// told makes the same error of what each system returns for a closed port.
func told(err error) error {
	if refused(err) {
		return syscall.ECONNREFUSED
	}
	return err
}

// serve reads the socket of a connection that was dialled until it is closed.
func (c *Conn) serve(socket net.Conn) {
	b := make([]byte, MaxDatagram+1)
	for failures := 0; ; {
		n, err := socket.Read(b)
		switch {
		case errors.Is(err, net.ErrClosed):
			c.trouble(err)
			return
		case err != nil:
			c.trouble(err)
			failures++
			time.Sleep(reads.Delay(failures))
			continue
		}
		failures = 0
		switch id, ok := idOf(b[:n]); {
		case !ok || id != c.id:
		case b[0] == typeData:
			c.handle(b[:n])
		case b[0] == typeReset:
			c.reset()
		}
	}
}
