// Command client looks the greeter up and calls it. The greeter calls the client back over the
// connection that the client opened: the client listens on no port.
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
	who := flag.String("name", "world", "whom to greet")
	watch := flag.Bool("watch", false, "stay, and print who else is greeted, until Ctrl-C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := greet(ctx, hello.Name(*at), *who, *watch); err != nil {
		log.Fatal(err)
	}
}

func greet(ctx context.Context, name, who string, watch bool) error {
	node := rmi.NewNode(nil)
	defer node.Close()
	greeter, err := registry.Lookup[hello.Greeter](ctx, node, name, nil)
	if err != nil {
		return err
	}
	sub, err := greeter.Watch(ctx, func(_ context.Context, name string) error {
		fmt.Println("the greeter calls back: it greets", name)
		return nil
	})
	if err != nil {
		return err
	}
	defer sub.Cancel(context.WithoutCancel(ctx)) // after Ctrl-C, too
	text, err := greeter.Greet(ctx, who)
	if err != nil {
		return err
	}
	fmt.Println(text)
	if watch {
		<-ctx.Done()
	}
	return nil
}
