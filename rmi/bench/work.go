package main

import (
	"fmt"
	"strings"
)

// work is what a row measures.
type work struct {
	name        string
	callers     int
	suite       string
	connections bool // a connection for each caller
	note        string
}

func (w work) String() string { return fmt.Sprintf("%s, %d callers", w.name, w.callers) }

// key is how processes call it.
func (w work) key() string {
	if w.suite == "jdk" {
		return jdkPrefix + w.name
	}
	return w.name
}

const (
	connections = "connections"
	jdkPrefix   = "jdk "
	jdkLength   = 100
	jdkDepth    = 4
)

// sizes of the bytes that are echoed.
var sizes = []struct {
	work  string
	bytes int
}{{"echo1k", 1 << 10}, {"echo64k", 64 << 10}, {"echo1m", 1 << 20}}

// callsOf returns the calls that a client can make, by work.
func callsOf(c Client) map[string]func() error {
	calls := map[string]func() error{"null": c.Null}
	if c, ok := c.(recordEchoer); ok {
		calls["echo100"] = c.Echo
	}
	if c, ok := c.(bytesEchoer); ok {
		for _, s := range sizes {
			body := []byte(strings.Repeat("b", s.bytes))
			calls[s.work] = func() error { return c.EchoBytes(body) }
		}
	}
	if c, ok := c.(callBacker); ok {
		calls["callback"] = c.CallBack
	}
	if c, ok := c.(referrer); ok {
		calls["reference"] = c.Reference
	}
	if c, ok := c.(exporter); ok {
		calls["export"] = c.Export
	}
	if c, ok := c.(jdkCaller); ok {
		for name, call := range c.JDK() {
			calls[jdkPrefix+name] = call
		}
	}
	return calls
}
