/*
Command testclient is a node of GoRMI that shares no code with GoRMI. It was written from the
specification of the protocol alone: the package comments of rmi/wire, refs and registry. It uses
only Go's standard library. So it shows that the specification is complete, and that a node in
another language can be written as well.

It looks up the object that examples/hello/server binds, calls it, and is called back. Then it
tries the rest of the protocol, by the levels of conformance of the specification. It prints each
step, and ends with status 1 if one fails. Its test runs it against the real programs.
*/
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"strconv"
	"sync"
)

func main() {
	log.SetFlags(0)
	registry := flag.String("registry", "127.0.0.1:1099", "the registry, `HOST:PORT`")
	name := flag.String("name", "hello", "the `NAME` of the greeter in the registry")
	level := flag.String("level", "leases", "up to which `LEVEL` of conformance to go: client, resume or leases")
	idle := flag.Bool("idle", false, "also wait until the greeter's node pings, which takes 5 seconds")
	flag.Parse()
	at, err := parsePlace(*registry)
	if err == nil {
		err = levels(at, *name, *level, *idle)
	}
	if err != nil {
		log.Fatal("testclient: ", err)
	}
}

func parsePlace(s string) (place, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return place{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return place{host, uint16(n)}, err
}

var printing sync.Mutex

// say prints a step.
func say(format string, args ...any) {
	printing.Lock()
	defer printing.Unlock()
	fmt.Printf(format+"\n", args...)
}
