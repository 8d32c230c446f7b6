// Command server exports a greeter and binds it under the name "hello" in a registry, until Ctrl-C.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"gormi/examples/hello"
	"gormi/registry"
	"gormi/rmi"
)

func main() {
	at := flag.String("registry", "", "the registry, `rmi://HOST:PORT` (default $RMI_REGISTRY, else rmi://localhost:1099)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, hello.Name(*at)); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, name string) error {
	node, err := rmi.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer node.Close()
	if _, err := registry.Bind[hello.Greeter](ctx, node, name, new(greeter), nil); err != nil {
		return err
	}
	fmt.Printf("%s is bound, Ctrl-C ends\n", name)
	return node.Run(ctx)
}
