/* ASSERT: our own mistakes only, and in every build. A broken invariant must stop the process
 * before it reaches the disk; the orchestrator restarts us and the spool recovers. What arrives
 * from outside (network, disk, user) is never asserted: it is checked and returned as an error.
 *
 * Unit tests link tests/support/assert_mock.c in place of assert.c, so that expect_assert_failure()
 * of cmocka works on the same objects that are shipped.
 */
#ifndef COMMON_ASSERT_H
#define COMMON_ASSERT_H

_Noreturn void assert_failed(const char *condition, const char *file, int line);
#define ASSERT(condition) ((condition) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__))

#endif
