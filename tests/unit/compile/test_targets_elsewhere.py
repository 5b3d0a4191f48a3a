from slipway.compile.targets.x86_cpu import elsewhere


def test_an_x86_target_is_skipped_on_another_cpu_with_the_reason():
    skipped = elsewhere("aarch64")
    assert skipped is not None and "this machine is aarch64" in skipped.reason


def test_an_x86_target_is_built_on_x86():
    assert elsewhere("x86_64") is None
