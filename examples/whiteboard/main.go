// Command whiteboard is the shared whiteboard of the textbooks on distributed objects: a server
// keeps the shapes, and whoever has the page open in a browser sees what the others draw.
//
//	go run ./examples/whiteboard                   # all of it on this machine: open the URL twice
//	go run ./examples/whiteboard -role server      # the server alone, at the registry
//	go run ./examples/whiteboard -role gateway     # a gateway alone: the page, at a URL of its own
//
// Browsers speak HTTP, so a gateway stands between. It serves the page, and is a client of the
// server like any other. It looks the ShapeList up, registers a callback, and passes changes on to
// its pages. The server can be restarted while gateways run, and several gateways can show the same
// board. Ctrl-C ends each of the programs gracefully.
//
// Where to look: whiteboard.go has the remote interfaces, board.go the objects behind them,
// gateway.go the client. The rest is the web: web.go answers browsers, pages.go keeps the open
// pages, page/ is what they load.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"gormi/registry"
	"gormi/rmi"
)

// defaultHTTP is where the page is if -http says nothing; if it is taken, any free port will do.
const defaultHTTP = "127.0.0.1:8100"

func main() {
	log.SetFlags(0)
	log.SetPrefix("whiteboard: ")
	role := flag.String("role", "all", "what to be: all, `server` or gateway")
	at := flag.String("registry", "", "the registry, `rmi://HOST:PORT` (default: in the role all one of its own, else $RMI_REGISTRY, else rmi://localhost:1099)")
	addr := flag.String("http", "", "where a gateway serves the page, `HOST:PORT` on loopback (default "+defaultHTTP+", or any free port)")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("%q is no argument of the whiteboard; -h lists the flags", flag.Arg(0))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	if err := run(ctx, *role, *at, *addr); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, role, at, addr string) error {
	switch role {
	case "all":
		return runAll(ctx, at, addr)
	case "server":
		return runServer(ctx, name(at))
	case "gateway":
		return runGateway(ctx, name(at), addr)
	}
	return fmt.Errorf("-role is %q: want all, server or gateway", role)
}

// name is the board's name in the registry at a URL, or in the default one.
func name(registry string) string {
	if registry == "" {
		return "whiteboard"
	}
	return strings.TrimSuffix(registry, "/") + "/whiteboard"
}

// runAll runs a registry, unless one is given, a server and a gateway, each a node of its own. They
// end in the reverse order.
func runAll(ctx context.Context, at, addr string) (err error) {
	if at == "" {
		node, err := rmi.Listen(ctx, "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer node.Close()
		names, err := registry.Serve(ctx, node, nil)
		if err != nil {
			return err
		}
		at = names.URL("")
	}
	s, err := newServer(ctx, name(at))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.shutdown()) }()
	fmt.Printf("more pages: go run ./examples/whiteboard -role gateway -registry %s\n", at)
	return runGateway(ctx, name(at), addr)
}

// server is a board that is bound to a name.
type server struct {
	node  *rmi.Node
	board *board
}

// newServer binds an empty board. A server that was killed leaves the name bound for a while, so
// newServer replaces what is bound. shutdown must follow.
func newServer(ctx context.Context, name string) (*server, error) {
	node, err := rmi.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{node, newBoard(node)}
	if _, err := registry.Rebind[ShapeList](ctx, node, name, s.board, nil); err != nil {
		return nil, errors.Join(err, s.board.close(), node.Close())
	}
	return s, nil
}

func (s *server) shutdown() error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return errors.Join(s.node.Run(ended), s.board.close(), s.node.Close())
}

func runServer(ctx context.Context, name string) error {
	s, err := newServer(ctx, name)
	if err != nil {
		return err
	}
	fmt.Printf("%s is bound, Ctrl-C ends\n", name)
	<-ctx.Done()
	return s.shutdown()
}

func runGateway(ctx context.Context, name, addr string) error {
	if _, err := registry.ParseURL(name); err != nil {
		return err // nothing that waiting would mend
	}
	l, err := listen(addr)
	if err != nil {
		return err
	}
	node := newGatewayNode()
	defer node.Close()
	w := newWeb(newGateway(node, name), l)
	fmt.Printf("the whiteboard is at %s, Ctrl-C ends\n", w.url())
	return w.run(ctx)
}

// listen opens the gateway's port. Nothing protects the page from browsers on other machines, so
// the port is on loopback.
func listen(addr string) (net.Listener, error) {
	if addr == "" {
		if l, err := net.Listen("tcp", defaultHTTP); err == nil {
			return l, nil
		}
		return net.Listen("tcp", "127.0.0.1:0")
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("-http %q: want HOST:PORT", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("-http %q: the page has no password, so it is served on this machine only: want localhost:PORT, 127.0.0.1:PORT or [::1]:PORT", addr)
	}
	return net.Listen("tcp", addr)
}
