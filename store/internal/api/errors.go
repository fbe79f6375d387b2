package api

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/auth"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	servererrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// known are the errors that clients tell apart, by what they are called inside.
var known = map[error]error{
	membership.ErrIDRemoved:                 rpctypes.ErrGRPCMemberNotFound,
	membership.ErrIDNotFound:                rpctypes.ErrGRPCMemberNotFound,
	membership.ErrIDExists:                  rpctypes.ErrGRPCMemberExist,
	membership.ErrPeerURLexists:             rpctypes.ErrGRPCPeerURLExist,
	membership.ErrMemberNotLearner:          rpctypes.ErrGRPCMemberNotLearner,
	membership.ErrTooManyLearners:           rpctypes.ErrGRPCTooManyLearners,
	servererrors.ErrNotEnoughStartedMembers: rpctypes.ErrMemberNotEnoughStarted,
	servererrors.ErrLearnerNotReady:         rpctypes.ErrGRPCLearnerNotReady,

	mvcc.ErrCompacted:               rpctypes.ErrGRPCCompacted,
	mvcc.ErrFutureRev:               rpctypes.ErrGRPCFutureRev,
	servererrors.ErrRequestTooLarge: rpctypes.ErrGRPCRequestTooLarge,
	servererrors.ErrNoSpace:         rpctypes.ErrGRPCNoSpace,
	servererrors.ErrTooManyRequests: rpctypes.ErrTooManyRequests,
	servererrors.ErrKeyNotFound:     rpctypes.ErrGRPCKeyNotFound,
	servererrors.ErrCorrupt:         rpctypes.ErrGRPCCorrupt,

	servererrors.ErrNoLeader:                   rpctypes.ErrGRPCNoLeader,
	servererrors.ErrNotLeader:                  rpctypes.ErrGRPCNotLeader,
	servererrors.ErrLeaderChanged:              rpctypes.ErrGRPCLeaderChanged,
	servererrors.ErrCanceled:                   rpctypes.ErrGRPCCanceled,
	servererrors.ErrStopped:                    rpctypes.ErrGRPCStopped,
	servererrors.ErrTimeout:                    rpctypes.ErrGRPCTimeout,
	servererrors.ErrTimeoutLeaderTransfer:      rpctypes.ErrGRPCTimeout,
	servererrors.ErrTimeoutDueToLeaderFail:     rpctypes.ErrGRPCTimeoutDueToLeaderFail,
	servererrors.ErrTimeoutDueToConnectionLost: rpctypes.ErrGRPCTimeoutDueToConnectionLost,
	servererrors.ErrTimeoutWaitAppliedIndex:    rpctypes.ErrGRPCTimeoutWaitAppliedIndex,
	servererrors.ErrUnhealthy:                  rpctypes.ErrGRPCUnhealthy,
	servererrors.ErrBadLeaderTransferee:        rpctypes.ErrGRPCBadLeaderTransferee,

	lease.ErrLeaseNotFound:    rpctypes.ErrGRPCLeaseNotFound,
	lease.ErrLeaseExists:      rpctypes.ErrGRPCLeaseExist,
	lease.ErrLeaseTTLTooLarge: rpctypes.ErrGRPCLeaseTTLTooLarge,
	lease.ErrNotPrimary:       rpctypes.ErrGRPCNotLeader,

	auth.ErrRootUserNotExist:     rpctypes.ErrGRPCRootUserNotExist,
	auth.ErrRootRoleNotExist:     rpctypes.ErrGRPCRootRoleNotExist,
	auth.ErrUserAlreadyExist:     rpctypes.ErrGRPCUserAlreadyExist,
	auth.ErrUserEmpty:            rpctypes.ErrGRPCUserEmpty,
	auth.ErrUserNotFound:         rpctypes.ErrGRPCUserNotFound,
	auth.ErrRoleAlreadyExist:     rpctypes.ErrGRPCRoleAlreadyExist,
	auth.ErrRoleNotFound:         rpctypes.ErrGRPCRoleNotFound,
	auth.ErrRoleEmpty:            rpctypes.ErrGRPCRoleEmpty,
	auth.ErrAuthFailed:           rpctypes.ErrGRPCAuthFailed,
	auth.ErrPermissionNotGiven:   rpctypes.ErrGRPCPermissionNotGiven,
	auth.ErrPermissionDenied:     rpctypes.ErrGRPCPermissionDenied,
	auth.ErrRoleNotGranted:       rpctypes.ErrGRPCRoleNotGranted,
	auth.ErrPermissionNotGranted: rpctypes.ErrGRPCPermissionNotGranted,
	auth.ErrAuthNotEnabled:       rpctypes.ErrGRPCAuthNotEnabled,
	auth.ErrInvalidAuthToken:     rpctypes.ErrGRPCInvalidAuthToken,
	auth.ErrInvalidAuthMgmt:      rpctypes.ErrGRPCInvalidAuthMgmt,
	auth.ErrAuthOldRevision:      rpctypes.ErrGRPCAuthOldRevision,
}

// told returns an error as clients know it.
func told(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err // gRPC has codes of its own for them
	}
	found, ok := known[err]
	if ok {
		return found
	}
	_, ok = status.FromError(err)
	if ok {
		return err
	}
	return status.Error(codes.Unknown, err.Error())
}
