package intercept_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	"gormi/rmi"
	"gormi/rmi/intercept"
	"gormi/rmi/metadata"
)

// pair is add behind interceptors of both sides. In real life they are in two processes.
func pair(callers, objects []intercept.Interceptor) (proxy Add, stop func()) {
	owner, err := rmi.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	h, err := rmi.Export[Add](owner, add, &rmi.ExportOptions{Interceptors: objects})
	if err != nil {
		log.Fatal(err)
	}
	client := rmi.NewNode(&rmi.Options{Interceptors: callers})
	if proxy, err = rmi.Resolve[Add](client, h.Ref(), nil); err != nil {
		log.Fatal(err)
	}
	return proxy, func() {
		client.Close()
		owner.Close()
	}
}

// An audit at the object: who calls what, with what.
func ExampleInterceptor() {
	audit := func(ctx context.Context, call *intercept.Call, next intercept.Handler) error {
		args, err := call.Args()
		if err != nil {
			return err
		}
		err = next(ctx)
		results, _ := call.Results() // none if it failed
		fmt.Println(call.Peer().Principal, call.Method, args, results, err)
		return err
	}
	add, stop := pair(nil, []intercept.Interceptor{audit})
	defer stop()
	fmt.Println(add(context.Background(), 2, 2))
	// Output:
	// anonymous Call [2 2] [4] <nil>
	// 4 <nil>
}

// The first interceptor is the outermost, and one at the caller may try again.
func ExampleHandler() {
	tries := 0
	retry := func(ctx context.Context, call *intercept.Call, next intercept.Handler) (err error) {
		for range 3 {
			if err = next(ctx); err == nil {
				break
			}
		}
		return err
	}
	count := func(ctx context.Context, call *intercept.Call, next intercept.Handler) error {
		if tries++; tries < 3 {
			return intercept.Refuse(rmi.KindDenied, "not yet")
		}
		return next(ctx)
	}
	add, stop := pair([]intercept.Interceptor{retry, count}, nil)
	defer stop()
	n, err := add(context.Background(), 2, 2)
	fmt.Println(n, err, "after", tries, "tries")
	// Output: 4 <nil> after 3 tries
}

// An interceptor reads and adds metadata.
func ExampleCall_Metadata() {
	send := func(ctx context.Context, call *intercept.Call, next intercept.Handler) error {
		return next(metadata.With(ctx, "tenant", "blue"))
	}
	check := func(ctx context.Context, call *intercept.Call, next intercept.Handler) error {
		fmt.Println(call.Metadata(ctx))
		return next(ctx)
	}
	add, stop := pair([]intercept.Interceptor{send}, []intercept.Interceptor{check})
	defer stop()
	fmt.Println(add(context.Background(), 2, 2))
	// Output:
	// map[tenant:blue]
	// 4 <nil>
}

// Only who has a token may call.
func ExampleCheckToken() {
	add, stop := pair(nil, []intercept.Interceptor{intercept.CheckToken("s3cret")})
	defer stop()
	_, err := add(context.Background(), 2, 2)
	fmt.Println(rmi.KindOf(err), rmi.OutcomeOf(err))
	// Output: Denied NotExecuted
}

// Every call of the node carries the token.
func ExampleSendToken() {
	add, stop := pair([]intercept.Interceptor{intercept.SendToken("s3cret")}, []intercept.Interceptor{intercept.CheckToken("s3cret")})
	defer stop()
	fmt.Println(add(context.Background(), 2, 2))
	// Output: 4 <nil>
}

// Each peer may make ten calls a second, and twenty at once.
func ExampleRateLimit() {
	add, stop := pair(nil, []intercept.Interceptor{intercept.RateLimit(10, 20)})
	defer stop()
	fmt.Println(add(context.Background(), 2, 2))
	// Output: 4 <nil>
}

// A line for each call of the object.
func ExampleAccessLog() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { // what is the same each time
			switch a.Key {
			case "level", "msg", "side", "method", "principal":
				return a
			}
			return slog.Attr{}
		},
	}))
	add, stop := pair(nil, []intercept.Interceptor{intercept.AccessLog(logger)})
	defer stop()
	_, _ = add(context.Background(), 2, 2)
	// Output: level=INFO msg="rmi call" side=object method=Call principal=anonymous
}

// Refuse makes the error of an interceptor that does not let a call pass.
func ExampleRefuse() {
	weekend := func(ctx context.Context, call *intercept.Call, next intercept.Handler) error {
		return intercept.Refuse(rmi.KindDenied, "closed until Monday")
	}
	add, stop := pair(nil, []intercept.Interceptor{weekend})
	defer stop()
	_, err := add(context.Background(), 2, 2)
	fmt.Println(rmi.KindOf(err), rmi.OutcomeOf(err))
	// Output: Denied NotExecuted
}
