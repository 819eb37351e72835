# SPDX-License-Identifier: Apache-2.0
from tests.unit.audited import folder as folder
from tests.unit.audited import tree as tree
