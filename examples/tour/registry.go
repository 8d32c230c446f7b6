package main

import (
	"context"

	"gormi/registry"
	"gormi/rmi"
)

// runRegistry is the registry's process.
func runRegistry(c *child) error {
	node, err := rmi.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer node.Close()
	names, err := registry.Serve(context.Background(), node, nil)
	if err != nil {
		return err
	}
	c.obey(commands{
		"serve": func(context.Context, string) (string, error) {
			c.say("I listen on %s, a free port, and keep names at %s", node.Endpoint(), names.URL(""))
			return names.URL(""), nil
		},
	})
	c.say("asked to end; names left: %d", names.Len())
	return node.Run(c.ctx)
}
