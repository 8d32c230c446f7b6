//go:build !linux

package main

import (
	"errors"
	"fmt"
	"runtime"
)

func pinToOneCore() (unpin func(), err error) {
	return nil, errors.New("-pin and -breakdown need Linux")
}

// connectionBytes is not known here.
func connectionBytes(int, string) int64 { return 0 }

func machine() string {
	return fmt.Sprintf("%s/%s, %d cores", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}
