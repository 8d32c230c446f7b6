package main

import (
	"io"
	"net"
	"sync"
)

// cable stands for the wire between two machines. It forwards TCP connections to an address, and
// can be cut. A connection that is made after that passes again.
type cable struct {
	listener net.Listener
	to       string
	running  sync.WaitGroup // accept, and a goroutine for each direction of a connection

	mu    sync.Mutex // guards the fields below
	ends  map[net.Conn]bool
	taken bool // away, for good
}

// lay lays a cable to an address.
func lay(to string) (*cable, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &cable{listener: l, to: to, ends: make(map[net.Conn]bool)}
	c.running.Go(c.accept)
	return c, nil
}

// address is the near end: whoever dials it reaches the far one.
func (c *cable) address() string { return c.listener.Addr().String() }

// cut breaks the connections. What is on its way is lost.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.ends {
		conn.Close()
	}
}

// takeAway ends the cable.
func (c *cable) takeAway() {
	c.mu.Lock()
	c.taken = true
	c.mu.Unlock()
	c.listener.Close()
	c.cut()
	c.running.Wait()
}

func (c *cable) accept() {
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.to)
		if err != nil {
			near.Close()
			continue
		}
		c.join(near, far)
		c.join(far, near)
	}
}

// join forwards bytes from one end to the other. It ends with either.
func (c *cable) join(from, to net.Conn) {
	c.mu.Lock()
	c.ends[from] = true
	taken := c.taken
	c.mu.Unlock()
	if taken {
		from.Close()
	}
	c.running.Go(func() {
		io.Copy(to, from)
		from.Close()
		to.Close()
		c.mu.Lock()
		delete(c.ends, from)
		c.mu.Unlock()
	})
}
