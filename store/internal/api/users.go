package api

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/divisi-go/divisi/store/internal/server"
)

// users is the service Auth. Who may do what is decided where requests are applied.
type users struct {
	s *server.Server
	pb.UnsafeAuthServer
}

// change asks for a change of users, or for what they are.
func change[R response](ctx context.Context, u *users, r *pb.InternalRaftRequest) (R, error) {
	answer, err := server.Ask[R](ctx, u.s, r)
	return signed(u.s, answer, err)
}

// Authenticate gives a token for a password.
func (u *users) Authenticate(ctx context.Context, r *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	answer, err := u.s.Authenticate(ctx, r)
	return signed(u.s, answer, err)
}

// UserAdd adds a user. What comes into the log is a hash of the password.
func (u *users) UserAdd(ctx context.Context, r *pb.AuthUserAddRequest) (*pb.AuthUserAddResponse, error) {
	if !r.GetOptions().GetNoPassword() {
		hash, err := u.s.Hash(r.Password)
		if err != nil {
			return nil, told(err)
		}
		r.HashedPassword, r.Password = hash, ""
	}
	return change[*pb.AuthUserAddResponse](ctx, u, &pb.InternalRaftRequest{AuthUserAdd: r})
}

// UserChangePassword gives a user another password; the empty one lets nobody in.
func (u *users) UserChangePassword(ctx context.Context, r *pb.AuthUserChangePasswordRequest) (*pb.AuthUserChangePasswordResponse, error) {
	if r.Password != "" {
		hash, err := u.s.Hash(r.Password)
		if err != nil {
			return nil, told(err)
		}
		r.HashedPassword, r.Password = hash, ""
	}
	return change[*pb.AuthUserChangePasswordResponse](ctx, u, &pb.InternalRaftRequest{AuthUserChangePassword: r})
}

// AuthEnable switches users on.
func (u *users) AuthEnable(ctx context.Context, r *pb.AuthEnableRequest) (*pb.AuthEnableResponse, error) {
	return change[*pb.AuthEnableResponse](ctx, u, &pb.InternalRaftRequest{AuthEnable: r})
}

// AuthDisable switches users off.
func (u *users) AuthDisable(ctx context.Context, r *pb.AuthDisableRequest) (*pb.AuthDisableResponse, error) {
	return change[*pb.AuthDisableResponse](ctx, u, &pb.InternalRaftRequest{AuthDisable: r})
}

// AuthStatus says whether users are on.
func (u *users) AuthStatus(ctx context.Context, r *pb.AuthStatusRequest) (*pb.AuthStatusResponse, error) {
	return change[*pb.AuthStatusResponse](ctx, u, &pb.InternalRaftRequest{AuthStatus: r})
}

// UserGet shows a user.
func (u *users) UserGet(ctx context.Context, r *pb.AuthUserGetRequest) (*pb.AuthUserGetResponse, error) {
	return change[*pb.AuthUserGetResponse](ctx, u, &pb.InternalRaftRequest{AuthUserGet: r})
}

// UserList lists the users.
func (u *users) UserList(ctx context.Context, r *pb.AuthUserListRequest) (*pb.AuthUserListResponse, error) {
	return change[*pb.AuthUserListResponse](ctx, u, &pb.InternalRaftRequest{AuthUserList: r})
}

// UserDelete deletes a user.
func (u *users) UserDelete(ctx context.Context, r *pb.AuthUserDeleteRequest) (*pb.AuthUserDeleteResponse, error) {
	return change[*pb.AuthUserDeleteResponse](ctx, u, &pb.InternalRaftRequest{AuthUserDelete: r})
}

// UserGrantRole gives a user a role.
func (u *users) UserGrantRole(ctx context.Context, r *pb.AuthUserGrantRoleRequest) (*pb.AuthUserGrantRoleResponse, error) {
	return change[*pb.AuthUserGrantRoleResponse](ctx, u, &pb.InternalRaftRequest{AuthUserGrantRole: r})
}

// UserRevokeRole takes a role from a user.
func (u *users) UserRevokeRole(ctx context.Context, r *pb.AuthUserRevokeRoleRequest) (*pb.AuthUserRevokeRoleResponse, error) {
	return change[*pb.AuthUserRevokeRoleResponse](ctx, u, &pb.InternalRaftRequest{AuthUserRevokeRole: r})
}

// RoleAdd adds a role.
func (u *users) RoleAdd(ctx context.Context, r *pb.AuthRoleAddRequest) (*pb.AuthRoleAddResponse, error) {
	return change[*pb.AuthRoleAddResponse](ctx, u, &pb.InternalRaftRequest{AuthRoleAdd: r})
}

// RoleGet shows a role.
func (u *users) RoleGet(ctx context.Context, r *pb.AuthRoleGetRequest) (*pb.AuthRoleGetResponse, error) {
	return change[*pb.AuthRoleGetResponse](ctx, u, &pb.InternalRaftRequest{AuthRoleGet: r})
}

// RoleList lists the roles.
func (u *users) RoleList(ctx context.Context, r *pb.AuthRoleListRequest) (*pb.AuthRoleListResponse, error) {
	return change[*pb.AuthRoleListResponse](ctx, u, &pb.InternalRaftRequest{AuthRoleList: r})
}

// RoleDelete deletes a role.
func (u *users) RoleDelete(ctx context.Context, r *pb.AuthRoleDeleteRequest) (*pb.AuthRoleDeleteResponse, error) {
	return change[*pb.AuthRoleDeleteResponse](ctx, u, &pb.InternalRaftRequest{AuthRoleDelete: r})
}

// RoleGrantPermission lets a role do something.
func (u *users) RoleGrantPermission(ctx context.Context, r *pb.AuthRoleGrantPermissionRequest) (*pb.AuthRoleGrantPermissionResponse, error) {
	return change[*pb.AuthRoleGrantPermissionResponse](ctx, u, &pb.InternalRaftRequest{AuthRoleGrantPermission: r})
}

// RoleRevokePermission takes a permission from a role.
func (u *users) RoleRevokePermission(ctx context.Context, r *pb.AuthRoleRevokePermissionRequest) (*pb.AuthRoleRevokePermissionResponse, error) {
	return change[*pb.AuthRoleRevokePermissionResponse](ctx, u, &pb.InternalRaftRequest{AuthRoleRevokePermission: r})
}
