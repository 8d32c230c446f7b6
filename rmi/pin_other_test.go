//go:build !linux

package rmi_test

import "errors"

func pinToOneCore() (func(), error) { return nil, errors.ErrUnsupported }
