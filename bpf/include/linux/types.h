/* Just the types that bcc's own text and ours need, so that no kernel headers are. */
#pragma once
typedef signed char s8, __s8;
typedef unsigned char u8, __u8;
typedef short s16, __s16;
typedef unsigned short u16, __u16, __le16, __be16;
typedef int s32, __s32;
typedef unsigned int u32, __u32, __le32, __be32, __wsum;
typedef long long s64, __s64;
typedef unsigned long long u64, __u64, __le64, __be64;
typedef __u16 __sum16;
#define __aligned_u64 __u64 __attribute__((aligned(8)))
typedef unsigned long size_t, uintptr_t;
typedef long ssize_t;
typedef int pid_t;
typedef unsigned int gfp_t;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)
#define __user
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
