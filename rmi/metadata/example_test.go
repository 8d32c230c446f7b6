package metadata_test

import (
	"context"
	"fmt"
	"log"

	"gormi/rmi"
	"gormi/rmi/metadata"
)

// Greet is the remote function of the examples.
type Greet func(ctx context.Context, name string) (string, error)

// pair is an owner that exports greet, and a client's proxy of it. In real life they are in two
// processes.
func pair(greet Greet) (proxy Greet, stop func()) {
	owner, err := rmi.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	h, err := rmi.Export(owner, greet, nil)
	if err != nil {
		log.Fatal(err)
	}
	client := rmi.NewNode(nil)
	if proxy, err = rmi.Resolve[Greet](client, h.Ref(), nil); err != nil {
		log.Fatal(err)
	}
	return proxy, func() {
		client.Close()
		owner.Close()
	}
}

// The caller adds pairs to the context, and the method reads them.
func ExampleWith() {
	greet, stop := pair(func(ctx context.Context, name string) (string, error) {
		language, _ := metadata.Get(ctx, "language")
		return map[string]string{"en": "Hello", "de": "Hallo"}[language] + ", " + name, nil
	})
	defer stop()
	ctx := metadata.With(context.Background(), "language", "de")
	fmt.Println(greet(ctx, "Alice"))
	// Output: Hallo, Alice <nil>
}

// What is marked goes with the calls that the method makes, too.
func ExampleWithPassedOn() {
	second, stop := pair(func(ctx context.Context, name string) (string, error) {
		return fmt.Sprint(metadata.From(ctx)), nil
	})
	defer stop()
	first, stop := pair(func(ctx context.Context, name string) (string, error) { return second(ctx, name) })
	defer stop()
	ctx := metadata.WithPassedOn(context.Background(), "trace", "42")
	ctx = metadata.With(ctx, "token", "only for the first")
	fmt.Println(first(ctx, "Alice"))
	// Output: map[trace:42] <nil>
}

// A context that came from elsewhere may have pairs that are for others.
func ExampleWithout() {
	greet, stop := pair(func(ctx context.Context, name string) (string, error) {
		return fmt.Sprint(metadata.From(ctx)), nil
	})
	defer stop()
	ctx := metadata.With(context.Background(), "token", "secret")
	fmt.Println(greet(metadata.Without(ctx), "Alice"))
	// Output: map[] <nil>
}

// The method gives its reply pairs, and the caller reads them.
func ExampleSetReply() {
	greet, stop := pair(func(ctx context.Context, name string) (string, error) {
		return "Hello, " + name, metadata.SetReply(ctx, "served-by", "europe-1")
	})
	defer stop()
	ctx, reply := metadata.WithReply(context.Background())
	fmt.Println(greet(ctx, "Alice"))
	fmt.Println(reply.Get("served-by"))
	// Output:
	// Hello, Alice <nil>
	// europe-1 true
}

// WithReply reads what came back with an error too.
func ExampleWithReply() {
	greet, stop := pair(func(ctx context.Context, name string) (string, error) {
		if err := metadata.SetReply(ctx, "retry-after", "3s"); err != nil {
			return "", err
		}
		return "", fmt.Errorf("not now, %s", name)
	})
	defer stop()
	ctx, reply := metadata.WithReply(context.Background())
	_, err := greet(ctx, "Alice")
	fmt.Println(err != nil, reply.All())
	// Output: true map[retry-after:3s]
}

// From returns all pairs of the call.
func ExampleFrom() {
	greet, stop := pair(func(ctx context.Context, name string) (string, error) {
		return fmt.Sprint(metadata.From(ctx)), nil
	})
	defer stop()
	ctx := metadata.With(metadata.With(context.Background(), "tenant", "blue"), "language", "de")
	fmt.Println(greet(ctx, "Alice"))
	// Output: map[language:de tenant:blue] <nil>
}

// Get returns one of them.
func ExampleGet() {
	greet, stop := pair(func(ctx context.Context, name string) (string, error) {
		if tenant, ok := metadata.Get(ctx, "tenant"); ok {
			return tenant + "/" + name, nil
		}
		return name, nil
	})
	defer stop()
	fmt.Println(greet(context.Background(), "alice"))
	fmt.Println(greet(metadata.With(context.Background(), "tenant", "blue"), "alice"))
	// Output:
	// alice <nil>
	// blue/alice <nil>
}

// Outgoing tells beforehand what a call would carry, and that it would fail.
func ExampleOutgoing() {
	ctx := metadata.With(context.Background(), "tenant", "blue")
	fmt.Println(metadata.Outgoing(ctx))
	_, err := metadata.Outgoing(metadata.With(ctx, "two\nlines", ""))
	fmt.Println(err)
	// Output:
	// map[tenant:blue] <nil>
	// rmi: invalid: the metadata key "two\nlines" has a control character
}
