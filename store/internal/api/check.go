package api

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/pkg/v3/adt"
)

func checkRange(r *pb.RangeRequest) error {
	_, order := pb.RangeRequest_SortOrder_name[int32(r.GetSortOrder())]
	_, target := pb.RangeRequest_SortTarget_name[int32(r.GetSortTarget())]
	switch {
	case len(r.GetKey()) == 0:
		return rpctypes.ErrGRPCEmptyKey
	case !order || !target:
		return rpctypes.ErrGRPCInvalidSortOption
	}
	return nil
}

func checkPut(r *pb.PutRequest) error {
	switch {
	case len(r.GetKey()) == 0:
		return rpctypes.ErrGRPCEmptyKey
	case r.IgnoreValue && len(r.Value) != 0:
		return rpctypes.ErrGRPCValueProvided
	case r.IgnoreLease && r.Lease != 0:
		return rpctypes.ErrGRPCLeaseProvided
	}
	return nil
}

// checkTxn refuses a transaction with more than so many operations, or that writes a key twice. Sizes come first,
// for keys are compared with each other.
func checkTxn(r *pb.TxnRequest, operations int) error {
	err := checkOperations(r, operations)
	if err != nil {
		return err
	}
	endless := inherits(r)
	for _, branch := range [][]*pb.RequestOp{r.Success, r.Failure} {
		_, err := written(branch, endless)
		if err != nil {
			return err
		}
	}
	return nil
}

// inherits reports whether a transaction may put a key with the value or the lease that it has. Such a key may not be
// deleted before: etcd's server ends by that.
func inherits(r *pb.TxnRequest) bool {
	for _, op := range slices.Concat(r.GetSuccess(), r.GetFailure()) {
		put := op.GetRequestPut()
		if put.GetIgnoreValue() || put.GetIgnoreLease() || inherits(op.GetRequestTxn()) {
			return true
		}
	}
	return false
}

// checkOperations counts those of transactions inside as well.
func checkOperations(r *pb.TxnRequest, left int) error {
	count := max(len(r.GetCompare()), len(r.GetSuccess()), len(r.GetFailure()))
	if count > left {
		return rpctypes.ErrGRPCTooManyOps
	}
	for _, c := range r.GetCompare() {
		if len(c.GetKey()) == 0 {
			return rpctypes.ErrGRPCEmptyKey
		}
	}
	for _, branch := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		for _, op := range branch {
			err := checkOperation(op, left-count)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func checkOperation(op *pb.RequestOp, left int) error {
	switch o := op.GetRequest().(type) {
	case *pb.RequestOp_RequestRange:
		return checkRange(o.RequestRange)
	case *pb.RequestOp_RequestPut:
		return checkPut(o.RequestPut)
	case *pb.RequestOp_RequestDeleteRange:
		if len(o.RequestDeleteRange.GetKey()) == 0 {
			return rpctypes.ErrGRPCEmptyKey
		}
		return nil
	case *pb.RequestOp_RequestTxn:
		return checkOperations(o.RequestTxn, left)
	}
	return rpctypes.ErrGRPCKeyNotFound // what etcd says of an operation that is none
}

// writes are the keys that operations write, and the ranges that they delete.
type writes struct {
	puts    map[string]bool
	deletes adt.IntervalTree
}

func (w *writes) put(key string) error {
	if w.puts[key] || w.deletes.Intersects(adt.NewStringAffinePoint(key)) {
		return rpctypes.ErrGRPCDuplicateKey
	}
	w.puts[key] = true
	return nil
}

// all is the range of all keys.
var all = adt.NewStringAffineInterval("\x00", "")

// written returns what operations write, and refuses those that put a key twice, or put and delete it, as which of
// both came last would show nowhere. The two branches of a transaction inside exclude each other, so they may. That a range
// without end has a key is seen only where endless says so: etcd takes that for none.
func written(ops []*pb.RequestOp, endless bool) (*writes, error) {
	w := &writes{puts: map[string]bool{}, deletes: adt.NewIntervalTree()}
	for _, op := range ops {
		r := op.GetRequestDeleteRange()
		switch {
		case r == nil:
		case len(r.RangeEnd) == 0:
			w.deletes.Insert(adt.NewStringAffinePoint(string(r.Key)), struct{}{})
		case endless && string(r.RangeEnd) == "\x00":
			w.deletes.Insert(adt.NewStringAffineInterval(string(r.Key), ""), struct{}{})
		default:
			w.deletes.Insert(adt.NewStringAffineInterval(string(r.Key), string(r.RangeEnd)), struct{}{})
		}
	}

	for _, op := range ops {
		inner := op.GetRequestTxn()
		if inner == nil {
			continue
		}
		err := w.add(inner, endless)
		if err != nil {
			return nil, err
		}
	}
	for _, op := range ops {
		r := op.GetRequestPut()
		if r == nil {
			continue
		}
		err := w.put(string(r.Key))
		if err != nil {
			return nil, err
		}
	}
	return w, nil
}

// add adds what either branch of a transaction writes.
func (w *writes) add(inner *pb.TxnRequest, endless bool) error {
	either := map[string]bool{}
	var branches []*writes
	for _, ops := range [][]*pb.RequestOp{inner.Success, inner.Failure} {
		branch, err := written(ops, endless)
		if err != nil {
			return err
		}
		branches = append(branches, branch)
		for key := range branch.puts {
			either[key] = true
		}
	}
	for key := range either {
		err := w.put(key)
		if err != nil {
			return err
		}
	}
	for _, branch := range branches {
		w.deletes.Union(branch.deletes, all)
	}
	return nil
}
