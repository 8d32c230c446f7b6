// Command rmigen writes stubs for remote interfaces: proxies and skeletons that
// need no reflection.
//
//	rmigen [-type A,B] [-o file] [-check] [packages]
//
// For each package (by default the one of the current folder) it writes one file,
// <package>_rmi.go, next to the sources. Linking it in is all it takes: nodes use
// what it offers, on either side of a call, and the bytes between them stay the
// same. In a source file of the package, write
//
//	//go:generate go tool rmigen
//
// Without -type, every interface of a package that is remote gets a stub: one
// whose every method takes a context.Context first and returns an error last.
// With -type these must be there, and others get none; an instance of a generic
// interface needs a name (type IntStore = Store[int]). The func types in their
// signatures get stubs too.
//
// Comments on a method say how it is called:
//
//	//rmi:idempotent    it may run twice: a call whose reply was lost is made again
//	//rmi:oneway        a call is over when it was sent; the method returns only an error
//	//rmi:timeout 5s    the deadline of calls whose context has none
//
// They count in the package that declares the method.
//
// Values of types that have a codec of their own, and data in interfaces, are
// still encoded by reflection, value by value; so are types that the package
// cannot name.
//
// With -check nothing is written: rmigen fails if a file that it wrote is not
// what it would write now, or if a //go:generate line asks for one that is not
// there. Its exit status is 1 then, as for every other error, and 2 if it was
// called in a wrong way.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func main() { os.Exit(run(os.Args[1:], ".", os.Stderr)) }

// run is the command in a folder. It returns the exit status.
func run(args []string, dir string, stderr io.Writer) int {
	f := flag.NewFlagSet("rmigen", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "usage: rmigen [-type A,B] [-o file] [-check] [packages]")
		f.PrintDefaults()
	}
	var o options
	f.StringVar(&o.types, "type", "", "the interfaces and func types, separated by commas; by default all remote interfaces")
	f.StringVar(&o.output, "o", "", "name of the file to write; by default <package>_rmi.go")
	check := f.Bool("check", false, "write nothing; fail if a file is stale or missing")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if o.output != "" && (filepath.Base(o.output) != o.output || !strings.HasSuffix(o.output, ".go") || strings.HasSuffix(o.output, "_test.go")) {
		fmt.Fprintf(stderr, "rmigen: -o %s: want the name of a Go file without a folder, and not of a test\n", o.output)
		return 2
	}
	if *check && o != (options{}) {
		fmt.Fprintln(stderr, "rmigen: -check takes no -type and no -o: each file says how it was made")
		return 2
	}
	err := generate(dir, f.Args(), o, *check)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// generate makes the files of the packages, and writes or checks them. If there
// is an error in one, none is written.
func generate(dir string, patterns []string, o options, check bool) error {
	pkgs, err := load(dir, patterns)
	if err != nil {
		return err
	}
	var jobs []job
	if check {
		for _, p := range pkgs {
			jobs = append(jobs, p.made()...)
			if len(p.generated) == 0 && p.asked.IsValid() {
				err = errors.Join(err, fmt.Errorf("%v: there is no file of rmigen yet: run go generate", p.asked))
			}
		}
	} else {
		jobs, err = wanted(pkgs, o)
	}
	for i := range jobs {
		var jerr error
		jobs[i].text, jerr = jobs[i].generate()
		err = errors.Join(err, jerr)
	}
	if check {
		for _, j := range jobs {
			if j.text == nil {
				continue
			}
			if old, rerr := os.ReadFile(j.path); rerr != nil {
				err = errors.Join(err, rerr)
			} else if !bytes.Equal(old, j.text) {
				err = errors.Join(err, fmt.Errorf("%s:1: the file is stale: run go generate", relative(j.path)))
			}
		}
		return err
	}
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if err := write(j.path, j.text); err != nil {
			return err
		}
	}
	return nil
}

// write replaces a file in one step.
func write(path string, text []byte) error {
	if old, err := os.ReadFile(path); err == nil {
		if bytes.Equal(old, text) {
			return nil
		}
		if !isGenerated(old) {
			return fmt.Errorf("%s:1: the file is not rmigen's: it is left as it is; choose another name with -o", relative(path))
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".rmigen-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails once it was renamed
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	return err
}

// relative is a path as people type it.
func relative(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if r, err := filepath.Rel(wd, path); err == nil && len(r) < len(path) {
			return r
		}
	}
	return path
}
