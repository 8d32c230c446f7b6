//go:build !unix

package main

import "net"

func poll(c net.Conn) (net.Conn, error) { return c, nil }

func polledMissing() string { return "sockets are not polled here" }
