package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// patience is how long a process may take to answer, beyond the measuring.
const patience = time.Minute

// child is a process that this program started. It is told things by lines,
// answers by lines, and ends when its standard input does.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// again is this program in another role.
func again(role string, args ...string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.Command(exe, append([]string{"-role", role}, args...)...), nil
}

func start(cmd *exec.Cmd) (*child, error) {
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &child{cmd: cmd, in: in, out: bufio.NewReader(out)}, nil
}

// line waits for the next line. A process that takes longer is killed.
func (c *child) line(limit time.Duration) (string, error) {
	late := time.AfterFunc(limit, func() { _ = c.cmd.Process.Kill() })
	line, err := c.out.ReadString('\n')
	if !late.Stop() {
		return "", fmt.Errorf("no answer within %v", limit)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return strings.TrimSuffix(line, "\n"), err
}

// stop ends the process and returns the last line that it printed.
func (c *child) stop() (last string) {
	c.in.Close()
	for {
		line, err := c.line(patience)
		if err != nil {
			break
		}
		last = line
	}
	_ = c.cmd.Wait()
	return last
}

// pair is a system's server and client, each a process.
type pair struct {
	peer
	server, client *child
	works          map[string]bool // what the client can do
	warmed         map[string]bool
}

func startPair(p peer, profile string) (_ *pair, err error) {
	command := p.command
	if command == nil {
		command = func(role string, args ...string) (*exec.Cmd, error) {
			cmd, err := again(role, append([]string{p.name}, args...)...)
			if err == nil && profile != "" {
				file := profile + "." + strings.ReplaceAll(p.name, "/", "-") + "." + role
				cmd.Env = append(os.Environ(), profileEnv+"="+file)
			}
			return cmd, err
		}
	}
	x := &pair{peer: p, works: make(map[string]bool), warmed: make(map[string]bool)}
	defer func() {
		if err != nil {
			x.stop()
			err = fmt.Errorf("%s: %w", p.name, err)
		}
	}()
	run := func(role string, args ...string) (*child, string, error) {
		cmd, err := command(role, args...)
		if err != nil {
			return nil, "", err
		}
		c, err := start(cmd)
		if err != nil {
			return nil, "", err
		}
		line, err := c.line(patience)
		return c, line, err
	}
	address, works := "", ""
	if x.server, address, err = run("server"); err != nil {
		return nil, err
	}
	if x.client, works, err = run("client", address); err != nil {
		return nil, err
	}
	for _, w := range strings.Split(works, ",") {
		x.works[w] = true
	}
	return x, nil
}

func (x *pair) stop() {
	for _, c := range []*child{x.client, x.server} {
		if c != nil {
			c.stop()
		}
	}
}

// can reports whether the system does a case.
func (x *pair) can(c work) bool {
	return x.works[c.key()] && (x.only == nil || slices.Contains(x.only, c.name)) && (c.callers == 1 || !x.sequential || c.connections)
}

// measure has a case warmed up and measured.
func (x *pair) measure(c work, o options) (sample, error) {
	warm := o.dur / 5
	if !x.warmed[c.String()] {
		x.warmed[c.String()] = true
		if warm = o.dur; x.command != nil {
			if warm = javaWarmUp; o.quick {
				warm /= 20
			}
		}
	}
	if !c.connections { // the client does it, on the same connections
		if _, err := x.ask(c, warm); err != nil {
			return sample{}, err
		}
	}
	before := connectionBytes(x.client.cmd.Process.Pid, x.transport)
	s, err := x.ask(c, o.dur)
	s.bytes = connectionBytes(x.client.cmd.Process.Pid, x.transport) - before
	return s, err
}

func (x *pair) ask(c work, d time.Duration) (s sample, err error) {
	if _, err = fmt.Fprintf(x.client.in, "%s\t%d\t%d\n", c.key(), c.callers, int64(d)); err != nil {
		return s, err
	}
	line, err := x.client.line(d + patience)
	if err != nil {
		return s, err
	}
	if err = json.Unmarshal([]byte(line), &s); err == nil {
		if s.Error != "" {
			err = errors.New(s.Error)
		} else if s.Calls <= 0 || s.Nanos <= 0 {
			err = fmt.Errorf("the client says %q", line)
		}
	}
	return s, err
}

// serverRole is the server's process: system.
func serverRole(args []string) error {
	p, err := peerNamed(args[0])
	if err != nil {
		return err
	}
	address, stop, err := p.system.Serve()
	if err != nil {
		return err
	}
	defer stop()
	unprofile, err := profile(os.Getenv(profileEnv))
	if err != nil {
		return err
	}
	defer unprofile()
	fmt.Println(address)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// clientRole is the client's process: system, address. It says what works it
// can do, then does what each line asks for: work, callers, nanoseconds.
func clientRole(args []string) error {
	p, err := peerNamed(args[0])
	if err != nil {
		return err
	}
	c, err := p.system.Dial(args[1])
	if err != nil {
		return err
	}
	defer c.Close()
	unprofile, err := profile(os.Getenv(profileEnv))
	if err != nil {
		return err
	}
	defer unprofile()
	calls := callsOf(c)
	fmt.Println(strings.Join(append(names(calls), connections), ","))
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var s sample
		if fields := strings.Split(in.Text(), "\t"); len(fields) != 3 {
			return fmt.Errorf("asked for %q", in.Text())
		} else if n, err := strconv.Atoi(fields[1]); err != nil {
			return err
		} else if d, err := time.ParseDuration(fields[2] + "ns"); err != nil {
			return err
		} else if fields[0] == connections {
			s = measureConnections(p.system, args[1], n, d)
		} else if call := calls[fields[0]]; call == nil {
			s.Error = "no such work"
		} else {
			callers := make([]func() error, n)
			for i := range callers {
				callers[i] = call
			}
			s = measure(callers, d)
		}
		line, err := json.Marshal(s)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", line)
	}
	return in.Err()
}

// measureConnections has n clients with a connection each make null calls, each
// the next one when the last returned.
func measureConnections(s System, address string, n int, d time.Duration) sample {
	var callers []func() error
	for range n {
		c, err := s.Dial(address)
		if err == nil {
			defer c.Close()
			err = c.Null() // some connect when they are first used
		}
		if err != nil {
			return sample{Error: err.Error()}
		}
		callers = append(callers, c.Null)
	}
	if s := measure(callers, d/5); s.Error != "" {
		return s
	}
	return measure(callers, d)
}
