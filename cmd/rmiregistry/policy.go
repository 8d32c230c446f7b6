package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"gormi/registry"
	"gormi/registry/policy"
	"gormi/rmi"
	"gormi/rmi/audit"
)

// loadPolicy reads the file of -policy, nil if there is none.
func (o *options) loadPolicy() (*policy.Policy, error) {
	if o.policy == "" {
		return nil, nil
	}
	p, err := policy.Load(o.policy)
	if err != nil {
		return nil, fmt.Errorf("-policy: %w", err)
	}
	return p, nil
}

// reload reads the file of -policy again at each SIGHUP, until ctx ends. If the file is broken the
// policy stays as it is.
func (o *options) reload(ctx context.Context, n *rmi.Node, names *registry.Server) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-hangup:
		case <-ctx.Done():
			return
		}
		p, err := o.loadPolicy()
		if err != nil {
			n.Port().Audit(audit.Event{Kind: audit.PolicyRefused, Reason: err.Error() + "; the one before stays"})
			continue
		}
		names.SetPolicy(p)
		n.Port().Audit(audit.Event{Kind: audit.PolicyReloaded, Reason: fmt.Sprintf("%s, rules: %d", o.policy, p.Rules())})
	}
}

// here is who -as stands for that is no principal: an anonymous peer of the registry's machine.
const here = "@local"

// check answers -check-policy. The exit status is 0 if the file is right and what was asked is
// allowed, 1 if that is denied, and 2 if the file is broken.
func (o *options) check(stdout, stderr io.Writer) int {
	p, err := policy.Load(o.checkPolicy)
	if err != nil {
		fmt.Fprintf(stderr, "rmiregistry: -check-policy: %v\n", err)
		return 2
	}
	if o.as == "" {
		fmt.Fprintf(stdout, "%s is right: rules: %d\n", o.checkPolicy, p.Rules())
		return 0
	}
	// Only a process of the same machine has a user.
	who := policy.Peer{Principal: o.as, Local: o.as == here || strings.HasPrefix(o.as, "uid:")}
	if o.as == here {
		who.Principal = policy.Anonymous
	}
	op, _ := policy.ParseOp(o.do) // parse checked it
	allowed, why := p.Explain(who, op, o.name)
	switch {
	case allowed:
		fmt.Fprintf(stdout, "allow (%s)\n", why)
		return 0
	case op == policy.Unbind || op == policy.Rebind:
		fmt.Fprintf(stdout, "deny (%s), but for a name that it holds: see go doc gormi/registry\n", why)
	default:
		fmt.Fprintf(stdout, "deny (%s)\n", why)
	}
	return 1
}

// checkFlags tells what is wrong with the flags that go with -check-policy.
func (o *options) checkFlags() error {
	asked := o.as != "" || o.do != "" || o.name != ""
	switch {
	case asked && o.checkPolicy == "":
		return fmt.Errorf("-as, -do and -name go with -check-policy")
	case !asked:
		return nil
	case o.as == "" || o.do == "" || o.name == "":
		return fmt.Errorf("-as, -do and -name go together: who wants to do what with which name")
	}
	if op, err := policy.ParseOp(o.do); err != nil {
		return fmt.Errorf("-do: %w", err)
	} else if op == policy.All {
		return fmt.Errorf("-do is all: ask about one at a time")
	}
	if err := registry.ValidName(o.name); err != nil {
		return fmt.Errorf("-name: %w", err)
	}
	return nil
}
