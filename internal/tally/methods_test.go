package tally

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/divisi-go/divisi/codegen"
)

func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		status         codegen.Status
		err            error
		errs, failures uint64
	}{
		{codegen.StatusOK, nil, 0, 0},
		{codegen.StatusAppError, nil, 1, 0},
		{codegen.StatusPanic, nil, 1, 1},
		{codegen.StatusDeadline, nil, 1, 1},
		{codegen.StatusUnimplemented, nil, 1, 1},
		{codegen.StatusCancelled, nil, 1, 0},
		{codegen.StatusOK, errors.New("the peer hung up"), 1, 1},
		{codegen.StatusOK, context.DeadlineExceeded, 1, 1},
		{codegen.StatusOK, fmt.Errorf("it ended: %w", context.Canceled), 1, 0},
		{codegen.StatusOK, &codegen.StatusError{Status: codegen.StatusAppError}, 1, 0},
		{codegen.StatusOK, &codegen.StatusError{Status: codegen.StatusPanic}, 1, 1},
	} {
		c := &Method{}
		c.Record(0, 0, 0, tt.status, tt.err)
		if c.errors.Load() != tt.errs || c.failures.Load() != tt.failures {
			t.Errorf("%v, %v: %d errors and %d failures, want %d and %d", tt.status, tt.err,
				c.errors.Load(), c.failures.Load(), tt.errs, tt.failures)
		}
	}
}
